package sim

import (
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

// Faults in several steps, for what chance alone would bring about too seldom.

// lateCount: a primary goes on alone, its standbys come back, the command to count nobody comes once more, and they are gone again.
func (w *World) lateCount() func() {
	h := w.number(w.store.state.Primary)
	if h < 0 {
		return nil
	}
	part := func() {
		for _, a := range w.agents {
			w.cutBoth(h, a.host)
		}
	}
	part()
	w.until(w.now + w.cfg.Patience + 900*ms)
	then := w.store.state
	w.join()
	w.until(w.now + 1500*ms)
	if a := w.agents[h]; a.up && len(then.Quorums) > 0 {
		a.count(then.Epoch, last(then.Quorums))
	}
	part()
	w.until(w.now + 500*ms)
	w.crash(h)
	w.join()
	w.until(w.now + 2*time.Second)
	return func() { w.reboot(h) }
}

// onlyTheLateAnswer: some standbys fall behind, the agents of those that have everything stand still, and the primary dies.
func (w *World) onlyTheLateAnswer() func() {
	h := w.number(w.store.state.Primary)
	if h < 0 {
		return nil
	}
	late := 0
	for _, i := range w.rng.Perm(len(w.agents)) {
		switch {
		case i == h:
		case late < len(w.agents)/2:
			late++
			w.cutBoth(h, i)
		default:
			w.freeze(&w.agents[i].proc, 5*time.Second)
		}
	}
	w.until(w.now + 900*ms)
	w.crash(h)
	w.until(w.now + 3*time.Second)
	return func() { w.join(); w.reboot(h) }
}

// aloneThenDead: a primary loses its standbys for longer than it waits for them, and dies when they are back and have not caught up.
func (w *World) aloneThenDead() func() {
	h := w.number(w.store.state.Primary)
	if h < 0 {
		return nil
	}
	for _, a := range w.agents {
		w.cutBoth(h, a.host)
	}
	w.until(w.now + w.cfg.Patience + 900*ms)
	w.join()
	heal := []func(){}
	for _, a := range w.agents {
		if again := w.stall(a.server); a.host != h && again != nil {
			heal = append(heal, again)
		} else if again != nil {
			again()
		}
	}
	w.until(w.now + 300*ms + time.Duration(w.rng.Int64N(int64(600*ms))))
	w.crash(h)
	for _, again := range heal {
		again()
	}
	w.until(w.now + time.Second + time.Duration(w.rng.Int64N(int64(time.Second))))
	return func() { w.reboot(h) }
}

// lateCommands are those of the present epoch that come when another one may have begun, some of them right after a member's restart.
func (w *World) lateCommands(restart func(*agent)) {
	s := w.store.state
	if s.Holder() == "" { // nobody is told to follow who held the epoch last
		return
	}
	from := w.number(s.Primary)
	for _, a := range w.agents {
		when, again := w.now+500*ms+time.Duration(w.rng.Int64N(int64(2500*ms))), w.rng.IntN(2) == 0
		w.at(when, nil, 0, func() {
			if again && a.name != s.Primary && a.up {
				restart(a)
			}
		})
		w.at(when+ms, &a.proc, -1, func() {
			if a.name != s.Primary {
				a.follow(s.Epoch, from)
			} else if len(s.Quorums) > 0 {
				a.count(s.Epoch, last(s.Quorums))
				a.promote(s.Epoch, s.Start, s.Timeline, last(s.Quorums))
			}
		})
	}
}

// rare are faults that are never drawn by chance.
var rare = []fault{
	{"slow promotion", func(w *World, _ int, _ time.Duration) func() { return w.slowPromotion() }},
	{"witnesses lost", func(w *World, _ int, _ time.Duration) func() { return w.witnessesLost() }},
	{"away, then lost", func(w *World, _ int, _ time.Duration) func() { return w.awayThenLost() }},
}

// slowPromotion: who is appointed next has much to replay, and is given up before it is primary. Its standbys are out of the keepers' reach by then, and
// stay with it; whoever was primary before is there to be promoted instead.
func (w *World) slowPromotion() func() {
	before, done, end := w.store.state.Epoch, false, w.now
	w.replay = w.cfg.Patience + time.Second
	var look func()
	look = func() {
		s := w.store.state
		if !done && s.Epoch > before && s.Phase == cluster.Promoting && w.agents[w.number(s.Primary)].server.rising {
			done, end = true, w.now+w.cfg.Patience+3*time.Second
			old := s.Quorums[0].Primary
			for _, a := range w.agents {
				if a.name != s.Primary && a.name != old && a.server.following == w.number(s.Primary) {
					w.mute[a.host] = true
				}
			}
		} else if !done {
			w.at(w.now+ms, nil, 0, look)
		}
	}
	look()
	w.request(cluster.Failover, "")
	return func() {
		w.until(end)
		done, w.replay = true, 0
		clear(w.mute)
		w.join()
	}
}

// witnessesLost: a primary is gone with its agent, and as soon as another one is to be made so are as many others as it waited for; their hosts vote
// on. Who is left can't know what was acknowledged, and a person who will not have them back accepts that.
func (w *World) witnessesLost() func() {
	before, done := w.store.state, false
	h := w.number(before.Primary)
	if h < 0 || before.Holder() == "" || w.cfg.Sync == 0 {
		return nil
	}
	var gone []int
	lose := func(i int) {
		gone = append(gone, i)
		w.lose(i)
	}
	lose(h)
	var look func()
	look = func() {
		switch s := w.store.state; {
		case done || s.Epoch > before.Epoch+1:
		case s.Epoch > before.Epoch && s.Phase == cluster.Fencing:
			for _, i := range w.rng.Perm(len(w.agents)) {
				if i != h && len(gone) <= w.cfg.Sync {
					lose(i)
				}
			}
		default:
			w.at(w.now+ms, nil, 0, look)
		}
	}
	look()
	w.until(w.now + 3*time.Second + w.cfg.Patience)
	if s := w.store.state; len(gone) > 1 && s.Epoch == before.Epoch+1 && s.Phase == cluster.Fencing {
		w.resign()
		w.until(w.now + 3*time.Second)
		w.stats.Released += digit(w.store.state.Phase == cluster.Serving)
	}
	return func() {
		done = true
		for _, i := range gone {
			w.reboot(i)
		}
	}
}

// lose takes a member, and leaves its host.
func (w *World) lose(i int) {
	a := w.agents[i]
	a.server.halt()
	for _, p := range []*proc{&a.proc, &a.guard, &a.server.proc} {
		w.stop(p)
	}
}

// awayThenLost: a standby is away until commits wait for the others only, and then the primary is lost. Of three members the last one knows all.
func (w *World) awayThenLost() func() {
	before := w.store.state
	h := w.number(before.Primary)
	if h < 0 || before.Holder() == "" || w.cfg.Sync != 1 || len(w.agents) != 3 {
		return nil
	}
	away := (h + 1 + w.rng.IntN(2)) % 3
	w.lose(away)
	w.until(w.now + w.cfg.Patience + 1500*ms)
	if s := w.store.state; s.Epoch == before.Epoch && s.Phase == cluster.Serving {
		w.stats.Away++
		w.lose(h)
		w.until(w.now + 6*time.Second)
		w.stats.Replaced += digit(w.store.state.Epoch > before.Epoch && w.store.state.Phase == cluster.Serving)
	}
	return func() { w.reboot(away); w.reboot(h) }
}
