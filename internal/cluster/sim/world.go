// Package sim runs cluster.Decide, route.Lease, cluster.Tenure and cluster.Oath, as they are, in a world of its own making: one
// seed, one history. It has clocks that drift and jump, a network that loses, delays and cuts one way, a store with compare-and-swap that
// goes away, servers that replicate as PostgreSQL does, agents, proxies, keepers, and clients that read and write through the proxies and past them.
//
// It promises that after every event these hold, or Run returns what broke:
//
//   - what a client was told is committed is in the log of every primary that is made later (up to max_loss where replication is asynchronous);
//   - a server acknowledges only what the newest primary has: there are never two that count;
//   - a read through a proxy shows every write that was acknowledged before it was asked;
//   - when every fault is over, the cluster serves within a bound.
//
// A Bug leaves out one fence; the tests show that each is found.
package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

const ms = time.Millisecond

// World is one simulated cluster.
type World struct {
	rng    *rand.Rand
	now    time.Duration
	queue  queue
	cfg    cluster.Config
	opt    Options
	clocks []clock // one a host
	cut    [][]bool
	lossy  float64
	late   float64

	store    store
	agents   []*agent
	proxies  []*proxy
	keepers  []*keeper
	lead     int
	resigned bool
	mute     []bool        // hosts that keepers do not reach, though all others do
	replay   time.Duration // that a server needs before it is primary, once it was told
	deaf     []bool        // hosts that do not reach the store, though they reach each other
	mode     Mode
	ledger   ledger

	repository repository
	stats      Stats
	broken     error
	trace      []string
}

type clock struct {
	rate float64
	base time.Duration // local reading at since
	at   time.Duration
}

func (w *World) local(host int) time.Duration {
	c := &w.clocks[host]
	return c.base + time.Duration(float64(w.now-c.at)*c.rate)
}

func (w *World) jump(host int, by time.Duration) {
	c := &w.clocks[host]
	c.base, c.at = w.local(host)+by, w.now
}

// proc is one process: it lives on a host, can crash and be started again (another life), and can stand still.
type proc struct {
	host   int
	up     bool
	life   int
	frozen time.Duration // until then it does nothing
}

func (w *World) at(when time.Duration, p *proc, life int, run func()) {
	w.queue.push(when, event{p, life, run})
}

// after runs something in this life of p.
func (w *World) after(d time.Duration, p *proc, run func()) { w.at(w.now+d, p, p.life, run) }

// step runs the next event and reports false when there is none before end.
func (w *World) step(end time.Duration) bool {
	at, ok := w.queue.next()
	if !ok || at > end || w.broken != nil {
		w.now = max(w.now, end)
		return false
	}
	e := w.queue.pop()
	w.now = at
	w.stats.Events++
	switch {
	case e.proc == nil:
		e.run()
	case !e.proc.up || e.life >= 0 && e.life != e.proc.life:
	case e.proc.frozen > w.now:
		w.at(e.proc.frozen+time.Duration(w.rng.IntN(1000))*time.Microsecond, e.proc, e.life, e.run)
	default:
		e.run()
	}
	return true
}

func (w *World) until(end time.Duration) {
	for w.step(end) {
	}
}

// send delivers run to another process, whatever its life then is; perhaps late, perhaps never.
func (w *World) send(from, to *proc, run func()) {
	w.deliver(from, to, -1, run)
}

// answer delivers run to the life that asked.
func (w *World) answer(from, to *proc, life int, run func()) { w.deliver(from, to, life, run) }

func (w *World) deliver(from, to *proc, life int, run func()) {
	if from.host != to.host && (w.cut[from.host][to.host] || w.lossy > 0 && w.rng.Float64() < w.lossy) {
		return
	}
	w.at(w.now+w.delay(), to, life, run)
}

func (w *World) delay() time.Duration {
	if w.late > 0 && w.rng.Float64() < w.late {
		return time.Duration(w.rng.Int64N(int64(4 * time.Second)))
	}
	return 100*time.Microsecond + time.Duration(w.rng.Int64N(int64(900*time.Microsecond)))
}

func (w *World) tell(format string, args ...any) {
	if w.opt.Trace {
		w.trace = append(w.trace, fmt.Sprintf("%9.3f ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

func (w *World) breakdown(format string, args ...any) {
	if w.broken == nil {
		w.broken = fmt.Errorf("at %s: "+format, append([]any{w.now}, args...)...)
		w.tell("BROKEN %v", w.broken)
	}
}
