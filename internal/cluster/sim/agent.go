package sim

import (
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/route"
)

// agent acts on a member's host. The oath is on its disk; tenure, state and grants are lost with its process.
type agent struct {
	proc
	w        *World
	name     string
	server   *server
	oath     cluster.Oath
	tenure   cluster.Tenure
	stopBy   cluster.Tenure // the same, kept where a restart of the agent does not lose it: the guard goes by it
	state    cluster.State  // as of its last word with the store
	want     []route.ID     // lives to be recorded with the next beat
	asked    map[route.ID]time.Duration
	lost     bool   // the oath went with its disk: nothing is promised, vouched or followed before the state was read
	prepared bool   // a checkpoint was written for a planned change
	rising   uint64 // epoch of the promotion that runs
	serial   int
	heard    int // serial of the newest beat that was answered
	guard    proc
}

func (a *agent) clock() time.Duration { return a.w.local(a.host) }

func (a *agent) boot() {
	a.oath.Vouched = a.clock()
	if a.w.has("oath") {
		a.oath = cluster.Oath{Vouched: cluster.Never}
	}
	a.tenure, a.state, a.want, a.rising = cluster.Tenure{}, cluster.State{}, nil, 0
	a.serial, a.heard, a.prepared = 0, 0, false
	a.asked = map[route.ID]time.Duration{}
	a.round()
	a.watch()
}

// watching is how often it is looked at the deadline.
const watching = 60 * ms

// watch stops the server at the deadline.
func (a *agent) watch() {
	if a.overdue() {
		a.stop()
	}
	a.w.after(watching, &a.proc, a.watch)
}

// watchBeside is the guard, which does the same beside the agent, dead or frozen as that may be, and to a server that is about to be primary too.
// It takes all the time that it has.
func (a *agent) watchBeside() {
	over := func() bool { return a.overdue() || a.server.rising && a.stopBy.Left(a.clock()) <= 0 }
	if !over() {
		a.w.after(watching, &a.guard, a.watchBeside)
		return
	}
	a.w.after(time.Duration(a.w.rng.Int64N(int64(a.w.cfg.StopGrace-watching))), &a.guard, func() {
		if over() {
			a.stop()
		}
		a.watchBeside()
	})
}

func (a *agent) overdue() bool {
	s := a.server
	return s.running && s.primary && s.up && a.stopBy.Left(a.clock()) <= 0 && s.epoch > 0 && !a.w.has("deadline") && a.w.mode != Routed
}

// thawing: the host stood still as a whole and goes on since less time than its guard has, and no watchdog reset it.
func (a *agent) thawing() bool {
	own := a.w.cfg.Peers[a.server.number]
	return own.Guard && !own.Watchdog && a.w.now-a.guard.frozen <= a.w.cfg.StopGrace
}

func (a *agent) stop() {
	a.w.tell("%s: tenure of epoch %d over, server stopped", a.name, a.server.epoch)
	a.server.halt()
}

// round renews the tenure, and keeps a standby connected.
func (a *agent) round() {
	a.beat(a.state.Epoch)
	if s := a.server; s.up && s.running && !s.primary && s.following >= 0 && a.clock()-s.heard > 400*ms {
		s.connect()
	}
	a.w.after(a.w.cfg.Lease/5+time.Duration(a.w.rng.IntN(20))*ms, &a.proc, a.round)
}

// beat counts up the state's beat where this member holds the epoch; else it only reads.
func (a *agent) beat(epoch uint64) {
	sent, reached, mine := a.clock(), a.server.end(), slices.Clone(a.want)
	a.serial++
	serial := a.serial
	for id, when := range a.asked {
		if a.clock()-when > 2*a.w.cfg.Lease {
			delete(a.asked, id)
		}
	}
	alive := a.server.up && !a.server.stalled
	a.w.swap(&a.proc, func(s cluster.State, _ uint64) (cluster.State, bool) {
		if !alive {
			return s, false
		}
		lives := s.Proxies
		for _, id := range mine {
			if !slices.Contains(lives, id) {
				lives = append(slices.Clone(lives), id)
			}
		}
		return s.Renewed(a.name, epoch, reached, lives)
	}, func(s cluster.State, _ uint64, renewed bool) {
		a.heard = max(a.heard, serial)
		if a.lost {
			a.lost, a.oath.Promised = false, s.Epoch
		}
		if s.Step < a.state.Step || s.Epoch < a.state.Epoch {
			return
		}
		a.state = s
		switch {
		case renewed:
			a.renew(epoch, sent)
		case s.Epoch > a.tenure.Epoch:
			a.tenure = a.tenure.End()
		}
	})
	a.w.after(250*ms, &a.proc, func() {
		if a.heard < serial && a.state.Holder() == a.name && a.state.Epoch == epoch {
			a.askOthers(epoch)
		}
	})
}

func (a *agent) renew(epoch uint64, sent time.Duration) {
	if a.oath.Promised > epoch {
		return
	}
	a.tenure = a.tenure.Renew(epoch, sent, a.w.cfg.Lease)
	a.stopBy = a.tenure
	s := a.server
	if s.up && !s.running && !s.stalled && a.tenure.Left(a.clock()) > 0 && a.state.Phase != cluster.Promoting && s.epoch == epoch {
		a.w.tell("%s: tenure of epoch %d again, server started", a.name, epoch)
		s.start()
		s.primary = true
		s.keepalive()
	}
}

// askOthers renews the tenure without coordination: when every other member's agent says that it knows no newer epoch.
func (a *agent) askOthers(epoch uint64) {
	sent, missing := a.clock(), len(a.w.agents)-1
	for _, b := range a.w.agents {
		if b == a {
			continue
		}
		life := a.life
		a.w.send(&a.proc, &b.proc, func() {
			if a.w.cfg.Peers[b.server.number].Receiver {
				a.w.answer(&b.proc, &a.proc, life, func() { missing-- })
				return
			}
			if b.lost {
				return
			}
			oath, ok := b.oath.Vouch(epoch, b.clock())
			if b.oath = oath; !ok && !a.w.has("vouch") {
				return
			}
			a.w.answer(&b.proc, &a.proc, life, func() {
				if missing--; missing == 0 && a.tenure.Epoch == epoch && a.state.Holder() == a.name {
					a.renew(epoch, sent)
				}
			})
		})
	}
}

// grant answers a proxy.
func (a *agent) grant(ask route.Ask, reply func(route.Route)) {
	left := a.tenure.Left(a.clock())
	if a.state.Holder() != a.name || left <= 0 || a.tenure.Epoch != a.state.Epoch {
		return
	}
	a.asked[ask.Proxy] = a.clock()
	if !slices.Contains(a.state.Proxies, ask.Proxy) {
		a.want = append(a.want[:0:0], ask.Proxy)
		a.beat(a.state.Epoch)
		if !a.w.has("unrecorded") {
			return
		}
	}
	reply(a.state.Route(a.w.cfg, min(left, a.w.cfg.Lease)))
}

// The commands of keepers.

func (a *agent) promise(epoch uint64) bool {
	oath, ok := a.oath.Promise(epoch)
	if !ok || a.server.stalled || a.lost {
		return false // an oath that can't be written is none
	}
	if a.oath = oath; epoch > a.tenure.Epoch {
		a.tenure = a.tenure.End()
	}
	return true
}

func (a *agent) fence(epoch uint64) {
	s := a.server
	if epoch < a.oath.Promised || s.stalled || a.lost || s.running && s.primary && s.epoch >= epoch && s.epoch > 0 {
		return
	}
	if s.primary || s.rising && !a.w.has("rising") {
		s.halt()
	}
	if epoch > a.oath.Promised && !a.w.has("attached") {
		s.detach()
	}
	a.promise(epoch)
}

func (a *agent) follow(epoch uint64, from int) {
	s := a.server
	if !s.up || epoch < a.oath.Promised || s.primary && s.epoch >= epoch && s.epoch > 0 || !a.promise(epoch) {
		return
	}
	if s.primary || s.rising {
		s.halt()
	}
	if !s.running {
		s.start()
	}
	if s.following != from {
		s.detach()
		s.following = from
		s.connect()
	}
}

func (a *agent) promote(epoch uint64, start history.Position, timeline uint32, q cluster.Quorum) {
	s := a.server
	if !s.up || s.stalled || a.rising == epoch || s.rising || s.primary && s.running && s.epoch == epoch || epoch < a.oath.Promised {
		return
	}
	if (s.blank || s.end().Before(start)) && !a.w.has("start") {
		return
	}
	if !a.promise(epoch) {
		return
	}
	if a.tenure.Epoch != epoch || a.tenure.Left(a.clock()) <= 0 {
		a.beat(epoch) // the next command finds the tenure
		if !a.w.has("untenured") {
			return
		}
	}
	if s.primary && s.running && s.epoch == 0 { // adopted as it runs
		s.epoch = epoch
		s.count(q)
		a.w.ledger.promoted(s)
		return
	}
	a.rising = epoch
	if !s.running {
		s.start()
	}
	s.detach()
	life := s.life
	takes := 60*ms + time.Duration(a.w.rng.IntN(100))*ms
	a.w.after(takes/2, &a.proc, func() {
		a.rising = 0
		if a.oath.Promised != epoch || s.life != life || !s.up || s.stalled || a.tenure.Left(a.clock()) <= 0 && !a.w.has("untenured") {
			return
		}
		s.rising = true
		a.w.after(takes/2+a.w.replay, &s.proc, func() { // from here on the server does it by itself, whatever its agent promises
			s.lead(epoch, timeline, q)
			a.w.ledger.promoted(s)
		})
	})
}

func (a *agent) count(epoch uint64, q cluster.Quorum) {
	s := a.server
	if s.running && s.primary && s.epoch == epoch && (q.Step > s.counting.Step || a.w.has("stale count")) && !q.Is(s.counting) {
		s.count(q)
	}
}

// fill takes over another member's log, which has all that was acknowledged.
func (a *agent) fill(epoch uint64, from *agent) {
	if a.oath.Promised != epoch || !a.server.up {
		return
	}
	a.w.send(&a.proc, &from.proc, func() {
		if from.oath.Promised != epoch {
			return
		}
		log := from.server.log
		a.w.answer(&from.proc, &a.proc, a.life, func() {
			if s := a.server; a.oath.Promised == epoch && !s.primary && s.end().Before(from.server.end()) {
				s.log = log[:len(log):len(log)]
			}
		})
	})
}

// ages are what travels in place of moments; negative: not the case.
type ages struct{ heard, vouched, stalled, short time.Duration }

// fact is the answer to a probe, with ages instead of moments.
func (a *agent) fact() (f cluster.Fact, old ages) {
	s, now := a.server, a.clock()
	f = cluster.Fact{Name: a.name, SystemID: "1", Promised: a.oath.Promised, Blank: s.blank, Received: s.end(), Role: cluster.Stopped}
	switch {
	case s.up && s.running && s.primary:
		f.Prepared = a.prepared
		f.Role, f.Epoch, f.Counting, f.Switched = cluster.Primary, s.epoch, s.counting, s.switched
		for i, st := range s.streams {
			if st.on && now-st.heard < 600*ms {
				f.Streams = append(f.Streams, cluster.Stream{Name: a.w.agents[i].name, Flushed: s.position(st.flushed)})
			}
		}
	case s.up && s.running:
		f.Role = cluster.Standby
		if s.following >= 0 {
			f.Following = a.w.agents[s.following].name
		}
	}
	old = ages{heard: now - s.heard, vouched: now - a.oath.Vouched, stalled: -1, short: -1}
	if s.stalled {
		old.stalled = now - s.stallsAt
	}
	if f.Role == cluster.Primary && s.short != cluster.Never {
		old.short = now - s.short
	}
	return f, old
}
