package sim

import (
	"math"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/route"
)

// fault is one thing that goes wrong for a while. It returns what ends it.
type fault struct {
	name string
	do   func(w *World, host int, d time.Duration) (heal func())
}

// faults begins with the seven that take a primary away.
var faults = []fault{
	{"kill server", func(w *World, h int, _ time.Duration) func() { w.kill(h); return nil }},
	{"crash host", func(w *World, h int, _ time.Duration) func() { w.crash(h); return func() { w.reboot(h) } }},
	{"freeze host", func(w *World, h int, d time.Duration) func() { w.freezeHost(h, d); return nil }},
	{"stall disk", func(w *World, h int, _ time.Duration) func() { return w.stall(w.agentOf(h).server) }},
	{"isolate", func(w *World, h int, _ time.Duration) func() { return w.isolate(h, true, true) }},
	{"switchover", func(w *World, h int, _ time.Duration) func() {
		w.request(cluster.Switchover, w.agentOf(h).name)
		return nil
	}},
	{"failover asked", func(w *World, _ int, _ time.Duration) func() { w.request(cluster.Failover, ""); return nil }},
	{"wipe", func(w *World, h int, _ time.Duration) func() { w.wipe(h); return func() { w.reboot(h) } }},
	{"freeze agent", func(w *World, h int, d time.Duration) func() { w.freeze(&w.agentOf(h).proc, d); return nil }},
	{"freeze server", func(w *World, h int, d time.Duration) func() { w.freeze(&w.agentOf(h).server.proc, d); return nil }},
	{"freeze proxy", func(w *World, h int, d time.Duration) func() {
		w.freeze(&w.proxies[h%len(w.proxies)].proc, d)
		return nil
	}},
	{"freeze keeper", func(w *World, h int, d time.Duration) func() {
		w.freeze(&w.keepers[h%len(w.keepers)].proc, d)
		return nil
	}},
	{"isolate outwards", func(w *World, h int, _ time.Duration) func() { return w.isolate(h, false, true) }},
	{"isolate inwards", func(w *World, h int, _ time.Duration) func() { return w.isolate(h, true, false) }},
	{"cut links", func(w *World, _ int, _ time.Duration) func() { return w.cutLinks() }},
	{"split", func(w *World, h int, _ time.Duration) func() { return w.split(h) }},
	{"lose messages", func(w *World, _ int, _ time.Duration) func() { w.lossy = 0.3; return func() { w.lossy = 0 } }},
	{"delay messages", func(w *World, _ int, _ time.Duration) func() { w.late = 0.1; return func() { w.late = 0 } }},
	{"coordination away", func(w *World, _ int, _ time.Duration) func() {
		w.store.away = true
		return func() { w.store.away = false }
	}},
	{"restart agent", func(w *World, h int, _ time.Duration) func() {
		a := w.agentOf(h)
		w.stop(&a.proc)
		return func() { w.boot(&a.proc, a.boot) }
	}},
	{"lose oath", func(w *World, h int, _ time.Duration) func() { // the agent's folder alone: the server runs on, with its log
		a := w.agentOf(h)
		w.stop(&a.proc)
		a.oath.Promised, a.lost = 0, !w.has("lost oath")
		return func() { w.boot(&a.proc, a.boot) }
	}},
	{"restart proxy", func(w *World, h int, _ time.Duration) func() {
		p := w.proxies[h%len(w.proxies)]
		w.stop(&p.proc)
		w.boot(&p.proc, p.boot)
		return nil
	}},
	{"restart keeper", func(w *World, h int, _ time.Duration) func() {
		k := w.keepers[h%len(w.keepers)]
		w.stop(&k.proc)
		return func() { w.boot(&k.proc, k.boot) }
	}},
	{"two leaders", func(w *World, _ int, _ time.Duration) func() { w.lead = math.MaxInt; return func() { w.elect() } }},
	{"clock jumps", func(w *World, h int, _ time.Duration) func() {
		if w.opt.Unbounded {
			w.jump(h, time.Duration(w.rng.Int64N(int64(20*time.Second)))-10*time.Second)
		}
		return nil
	}},
	{"cut standby", func(w *World, _ int, _ time.Duration) func() {
		w.cutBoth(w.number(w.store.state.Primary), w.rng.IntN(len(w.agents)))
		return w.join
	}},
	{"cut keepers", func(w *World, h int, _ time.Duration) func() { // from a primary that its standbys and proxies still reach
		w.cutFromKeepers(h)
		return w.join
	}},
	{"isolate others", func(w *World, h int, _ time.Duration) func() {
		for _, a := range w.agents {
			w.cutBoth(h, a.host)
		}
		return w.join
	}},
	{"deaf", func(w *World, h int, _ time.Duration) func() { w.deaf[h] = true; return func() { w.deaf[h] = false } }},
	{"stale keeper", func(w *World, _ int, _ time.Duration) func() {
		h := w.lead
		if h >= len(w.keepers) {
			return nil
		}
		w.deaf[h], w.lead = true, math.MaxInt
		return func() { w.deaf[h] = false; w.elect() }
	}},
	{"hide primary", func(w *World, h int, d time.Duration) func() { // from the keepers that lead, and its agent stands still
		w.freeze(&w.agentOf(h).proc, d)
		w.cutFromKeepers(h)
		return w.join
	}},
	{"freeze standby's agent", func(w *World, _ int, d time.Duration) func() {
		if a := w.agents[w.rng.IntN(len(w.agents))]; a.name != w.store.state.Primary {
			w.freeze(&a.proc, d)
		}
		return nil
	}},
	{"alone, then dead", func(w *World, _ int, _ time.Duration) func() { return w.aloneThenDead() }},
	{"hide holder", func(w *World, h int, _ time.Duration) func() { // from the store too: what it holds it goes on believing
		w.deaf[h], w.mute[h] = true, true
		return func() { w.deaf[h], w.mute[h] = false, false }
	}},
	{"late count", func(w *World, _ int, _ time.Duration) func() { return w.lateCount() }},
	{"only the late answer", func(w *World, _ int, _ time.Duration) func() { return w.onlyTheLateAnswer() }},
	{"late commands", func(w *World, _ int, _ time.Duration) func() {
		w.lateCommands(func(a *agent) { w.stop(&a.proc); w.boot(&a.proc, a.boot) })
		return nil
	}},
	{"late commands, disk lost", func(w *World, _ int, _ time.Duration) func() {
		w.lateCommands(func(a *agent) { w.wipe(a.host); w.reboot(a.host) })
		return nil
	}},
	{"restart closed proxies", func(w *World, _ int, _ time.Duration) func() {
		before, done := w.store.state.Epoch, false
		var look func()
		look = func() {
			if done {
				return
			}
			for _, p := range w.proxies {
				if p.up && p.lease.Route.Epoch > before && p.lease.Route.State == route.Closed {
					w.stop(&p.proc)
					w.boot(&p.proc, p.boot)
					w.cutFromKeepers(p.host)
				}
			}
			w.at(w.now+5*ms, nil, 0, look)
		}
		look()
		return func() { done = true; w.join() }
	}},
	{"late promotion", func(w *World, _ int, _ time.Duration) func() { // reaches who is appointed next only when that is history
		before, done, end := w.store.state.Epoch, false, w.now
		var look func()
		look = func() {
			s := w.store.state
			if !done && s.Epoch > before && s.Phase == cluster.Promoting {
				a := w.agents[w.number(s.Primary)]
				w.isolate(a.host, true, true)
				w.at(w.now+3*time.Second+time.Duration(w.rng.Int64N(int64(time.Second))), &a.proc, -1, func() {
					a.promote(s.Epoch, s.Start, s.Timeline, last(s.Quorums))
				})
				end = w.now + 5*time.Second
			} else if !done {
				w.at(w.now+ms, nil, 0, look)
			}
		}
		look()
		return func() { w.until(end); done = true; w.join() }
	}},
	{"wipe next", func(w *World, _ int, _ time.Duration) func() { // whoever is appointed next, as soon as it is
		before, done := w.store.state.Epoch, false
		var look func()
		look = func() {
			if s := w.store.state; !done && s.Epoch > before && s.Phase == cluster.Promoting {
				w.wipe(w.number(s.Primary))
				w.reboot(w.number(s.Primary))
			} else if !done {
				w.at(w.now+ms, nil, 0, look)
			}
		}
		look()
		return func() { done = true }
	}},
}

func (w *World) agentOf(host int) *agent { return w.agents[host%len(w.agents)] }

func (w *World) stop(p *proc) {
	p.up = false
	p.life++
}

func (w *World) boot(p *proc, boot func()) {
	if p.up {
		return
	}
	p.up, p.frozen = true, 0
	p.life++
	boot()
}

func (w *World) freeze(p *proc, d time.Duration) { p.frozen = max(p.frozen, w.now+d) }

func (w *World) kill(h int) {
	if s := w.agentOf(h).server; s.up {
		s.halt()
	}
}

func (w *World) procs(h int) []*proc {
	var all []*proc
	if h < len(w.agents) {
		a := w.agents[h]
		all = append(all, &a.proc, &a.guard, &a.server.proc)
	}
	if h < len(w.keepers) {
		all = append(all, &w.keepers[h].proc)
	}
	for _, p := range w.proxies {
		if p.host == h {
			all = append(all, &p.proc)
		}
	}
	return all
}

func (w *World) crash(h int) {
	if h < len(w.agents) {
		w.agents[h].server.halt()
	}
	for _, p := range w.procs(h) {
		w.stop(p)
	}
}

func (w *World) reboot(h int) {
	if h < len(w.agents) {
		a := w.agents[h]
		a.server.up, a.server.frozen = true, 0
		a.stopBy = cluster.Tenure{}
		w.boot(&a.proc, a.boot)
		w.bootGuard(a)
	}
	if h < len(w.keepers) {
		w.boot(&w.keepers[h].proc, w.keepers[h].boot)
	}
	for _, p := range w.proxies {
		if p.host == h {
			w.boot(&p.proc, p.boot)
		}
	}
}

func (w *World) bootGuard(a *agent) {
	w.boot(&a.guard, func() {
		if w.cfg.Peers[a.server.number].Guard {
			a.watchBeside()
		}
	})
}

// freezeHost stands everything still, the guard too, which stops the server when all go on. A watchdog device resets a host whose guard has not
// petted it, by the same deadline and grace.
func (w *World) freezeHost(h int, d time.Duration) {
	for _, p := range w.procs(h) {
		w.freeze(p, d)
	}
	if h >= len(w.agents) || !w.cfg.Peers[h].Watchdog || !w.agents[h].server.primary && !w.agents[h].server.rising {
		return
	}
	a, thaws := w.agents[h], w.now+d
	resets := a.stopBy.Left(a.clock()) + time.Duration(w.rng.Int64N(int64(w.cfg.StopGrace)))
	w.at(w.now+max(0, resets), nil, 0, func() {
		if !a.guard.up || a.guard.frozen <= w.now || w.now >= thaws {
			return
		}
		w.tell("%s: its host is reset by the watchdog", a.name)
		w.crash(h)
		w.at(thaws, nil, 0, func() {
			if !a.server.up {
				w.reboot(h)
			}
		})
	})
}

// wipe loses a member's disk: log and oath. Not while another one's log is not whole: two lost disks are lost data, and so is
// the only one while the cluster runs degraded.
func (w *World) wipe(h int) {
	for _, q := range w.store.state.Quorums {
		if w.cfg.Sync > 0 && q.K == 0 {
			return
		}
	}
	for _, a := range w.agents {
		if a.server.blank || a.lost || !a.server.up {
			return
		}
	}
	w.crash(h)
	if h < len(w.agents) {
		a := w.agents[h]
		a.server.log, a.server.blank, a.server.whole, a.server.epoch = nil, true, 0, 0
		a.oath.Promised, a.lost = 0, !w.has("lost oath")
	}
}

func (w *World) stall(s *server) func() {
	if s.stalled {
		return nil
	}
	s.stalled, s.stallsAt = true, w.local(s.host)
	return func() { s.stalled = false }
}

func (w *World) isolate(h int, in, out bool) func() {
	for i := range w.cut {
		if i != h {
			w.cut[i][h] = w.cut[i][h] || in
			w.cut[h][i] = w.cut[h][i] || out
		}
	}
	return w.join
}

func (w *World) cutBoth(a, b int) {
	if a >= 0 && a != b {
		w.cut[a][b], w.cut[b][a] = true, true
	}
}

// cutFromKeepers hides a host from the keepers that lead.
func (w *World) cutFromKeepers(h int) {
	for _, k := range w.keepers {
		if w.leads(k) {
			w.cutBoth(h, k.host)
		}
	}
}

func (w *World) join() {
	for i := range w.cut {
		clear(w.cut[i])
	}
}

func (w *World) cutLinks() func() {
	for i := range w.cut {
		for j := range w.cut {
			if i != j && w.rng.IntN(4) == 0 {
				w.cut[i][j] = true
			}
		}
	}
	return w.join
}

func (w *World) split(h int) func() {
	side := make([]bool, len(w.cut))
	for i := range side {
		side[i] = w.rng.IntN(2) == 0
	}
	for i := range w.cut {
		for j := range w.cut {
			w.cut[i][j] = w.cut[i][j] || side[i] != side[j]
		}
	}
	return w.join
}

func (w *World) elect() { w.lead = w.rng.IntN(len(w.keepers)) }

// resign is a person who, after a long time in which nothing is served, accepts that something is lost.
func (w *World) resign() {
	w.stats.Resigned++
	w.ask(cluster.Request{Kind: cluster.Failover, By: "anna", Lose: true})
}

func (w *World) request(kind cluster.Kind, to string) {
	w.ask(cluster.Request{Kind: kind, To: to, By: "anna"})
}

func (w *World) ask(r cluster.Request) {
	w.swap(&w.proxies[len(w.proxies)-1].proc, func(s cluster.State, _ uint64) (cluster.State, bool) {
		next, err := s.Asked(r)
		return next, err == nil
	}, func(cluster.State, uint64, bool) {})
}
