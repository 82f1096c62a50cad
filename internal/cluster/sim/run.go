package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

// Options of one run.
type Options struct {
	Seed      uint64
	Rounds    int      // of faults and healing
	Bug       string   // fence that is left out; empty: none
	Mode      Mode     // empty: drawn
	Faults    []string // drawn half of the time, beside all others
	Unbounded bool     // clocks jump: only what rests on no clock is held
	Trace     bool     // keep what happened, for people
}

// Stats of a run.
type Stats struct {
	Failovers int
	Events    int
	Acked     int
	Reads     int
	Lost      int // acknowledged writes, where replication is asynchronous
	Fetched   int // entries that candidates took from the repository
	Resigned  int // times that a person had to accept a loss
	Released  int // of them, that a ballot without enough witnesses went on by that
	Away      int // primaries that were lost while a standby was away
	Replaced  int // of them, without it
	Rows      map[string]int
	Virtual   time.Duration
	History   string          // where it was traced
	Gaps      []time.Duration // longest time without an acknowledged write, one for each round
}

// Error is a broken promise, with what led to it when it was traced.
type Error struct {
	Options Options
	Cause   error
	Trace   []string
}

func (e *Error) Error() string { return fmt.Sprintf("seed %d: %v", e.Options.Seed, e.Cause) }
func (e *Error) Unwrap() error { return e.Cause }

// History is the trace as text.
func (e *Error) History() string { return strings.Join(e.Trace, "\n") }

// Run runs one seed. The error, if any, is an *Error.
func Run(opt Options) (Stats, error) {
	w := build(opt)
	w.until(time.Second)
	for range opt.Rounds {
		w.round()
		if w.broken != nil {
			break
		}
	}
	w.stats.Virtual, w.stats.History = w.now, strings.Join(w.trace, "\n")
	if w.broken != nil {
		return w.stats, &Error{opt, w.broken, w.trace}
	}
	return w.stats, nil
}

func build(opt Options) *World {
	w := &World{rng: rand.New(rand.NewPCG(opt.Seed, 7)), opt: opt, stats: Stats{Rows: map[string]int{}}}
	w.ledger.w = w
	w.repository = repository{w, map[uint32][]entry{}}
	members := 3 + 2*digit(w.rng.IntN(4) == 0)
	hosts := members + 1
	w.cfg = cluster.Config{Cluster: "shop"}
	w.setUp(members)
	w.cfg = w.cfg.WithDefaults()
	for h := range hosts {
		w.clocks = append(w.clocks, clock{rate: 0.991 + 0.018*w.rng.Float64(), base: time.Duration(w.rng.Int64N(int64(time.Hour)))})
		w.cut = append(w.cut, make([]bool, hosts))
		w.proxies = append(w.proxies, &proxy{proc: proc{host: h}, w: w, name: fmt.Sprintf("app%d", h)})
	}
	w.rng.Shuffle(hosts, func(i, j int) { w.proxies[i], w.proxies[j] = w.proxies[j], w.proxies[i] })
	w.proxies = w.proxies[:3]
	w.deaf, w.mute = make([]bool, hosts), make([]bool, hosts)
	for m := range members {
		s := &server{proc: proc{host: m, up: true}, w: w, number: m, running: true, following: 0, short: cluster.Never, streams: make([]stream, members)}
		w.agents = append(w.agents, &agent{proc: proc{host: m}, guard: proc{host: m}, w: w, name: w.cfg.Peers[m].Name, server: s})
		w.keepers = append(w.keepers, &keeper{proc: proc{host: m}, w: w, number: m})
	}
	w.store = store{leader: -1, voters: members}
	first := w.agents[0].server
	first.following, first.primary, first.timeline = -1, true, 1
	first.log = []entry{{w.ledger.id(0), 1}}
	first.keepalive()
	for h := range hosts {
		w.reboot(h)
	}
	w.elect()
	if w.mode != Routed {
		w.at(0, nil, 0, w.ledger.strangers)
	}
	w.at(0, nil, 0, w.reelect)
	return w
}

// set up draws one of the ways in which people set a cluster up, or takes the one that is asked for.
func (w *World) setUp(members int) {
	w.mode = cmp.Or(w.opt.Mode, []Mode{Synchronous, Synchronous, Synchronous, Degrading, Asynchronous, Routed}[w.rng.IntN(6)])
	watchdog := w.mode == Asynchronous && w.rng.IntN(2) == 0
	for m := range members {
		w.cfg.Peers = append(w.cfg.Peers, cluster.Peer{Name: fmt.Sprintf("db%d", m+1), Priority: w.rng.IntN(3), NoFailover: m == members-1 && w.rng.IntN(3) == 0, Guard: w.mode == Asynchronous, Watchdog: watchdog})
	}
	switch w.mode {
	case Synchronous, Degrading:
		w.cfg.Sync, w.cfg.Degraded = members/2, w.mode == Degrading
		w.cfg.Peers[members-1].Receiver = w.rng.IntN(5) == 0
		w.cfg.Patience = 600*ms + time.Duration(w.rng.Int64N(int64(time.Second)))
	default:
		w.cfg.MaxLoss, w.cfg.Unfenced = 2000, w.mode == Routed
	}
}

func digit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// reelect moves the hint of who leads when its keeper or its host is out of order.
func (w *World) reelect() {
	if w.lead < len(w.keepers) {
		if k := w.keepers[w.lead]; !k.up || k.frozen > w.now || !w.majority(w.lead) || w.rng.IntN(40) == 0 {
			w.elect()
		}
	}
	w.at(w.now+200*ms, nil, 0, w.reelect)
}

// round is some faults, most of them where it hurts, and their end.
func (w *World) round() {
	w.ledger.gaps, w.ledger.served = 0, w.now
	var heal []func()
	for range 1 + w.rng.IntN(4) {
		host := w.number(w.store.state.Primary)
		if host < 0 || w.rng.IntN(3) == 0 {
			host = w.rng.IntN(len(w.clocks))
		}
		f, d := w.draw(), time.Duration(w.rng.Int64N(int64(4*time.Second)))
		w.tell("fault: %s at host %d for %s", f.name, host, d)
		if end := f.do(w, host, d); end != nil {
			heal = append(heal, end)
		}
		w.until(w.now + time.Duration(w.rng.Int64N(int64(800*ms))))
	}
	w.until(w.now + time.Duration(w.rng.Int64N(int64(2000*ms))))
	w.tell("healed")
	for _, end := range heal {
		end()
	}
	w.recover()
}

// draw prefers what takes a primary away, without which a round shows little.
func (w *World) draw() fault {
	if n := len(w.opt.Faults); n > 0 && w.rng.IntN(2) == 0 {
		name := w.opt.Faults[w.rng.IntN(n)]
		all := append(faults[:len(faults):len(faults)], rare...)
		return all[slices.IndexFunc(all, func(f fault) bool { return f.name == name })]
	}
	if w.rng.IntN(2) == 0 {
		return faults[w.rng.IntN(len(faults))]
	}
	return faults[w.rng.IntN(7)]
}

// recover waits until a client of a proxy was told of a committed write, for which a bound holds.
func (w *World) recover() {
	healed := w.now
	w.resigned = false
	for w.broken == nil {
		w.until(w.now + 50*ms)
		if w.store.state.Phase == cluster.Serving && w.ledger.served > healed+100*ms && w.store.state.Request == nil {
			break
		}
		if w.now-healed > 15*time.Second && w.cfg.Sync == 0 && !w.resigned {
			w.resigned = true
			w.resign()
		}
		if w.now-healed > 30*time.Second && !w.opt.Unbounded {
			s := w.store.state
			w.breakdown("nothing is served 30s after every fault ended: epoch %d %s %s: %s", s.Epoch, s.Phase, s.Row, s.Reason)
		}
		if w.now-healed > time.Minute {
			return
		}
	}
	w.stats.Gaps = append(w.stats.Gaps, w.ledger.gaps)
	w.until(w.now + time.Duration(w.rng.Int64N(int64(700*ms))))
}
