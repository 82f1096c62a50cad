package sim

import (
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/route"
)

// ledger is what the clients remember, and the judge of it all.
type ledger struct {
	w      *World
	place  []int // where in the log each id was written first
	acked  []int
	epoch  uint64 // newest that a server was promoted under
	log    []entry
	served time.Duration // when a client last was told that a write through a proxy is committed
	gaps   time.Duration // longest time without, since the fault
}

func (g *ledger) id(place int) int {
	g.place = append(g.place, place)
	return len(g.place) - 1
}

func (g *ledger) has(log []entry, id int) bool {
	at := g.place[id]
	return at < len(log) && log[at].id == id
}

// released: a server may tell its client that c is committed.
func (g *ledger) released(s *server, c commit) {
	if g.w.mode == Routed {
		return // what counts there is what a proxy hands on
	}
	if s.epoch < g.epoch && !g.has(g.log, c.id) && (g.w.cfg.Sync > 0 || !g.w.opt.Unbounded) {
		if g.w.agents[s.number].thawing() {
			return // to a client that bypasses the proxies: handedOn holds that
		}
		g.w.breakdown("%s acknowledged a write at epoch %d that the primary of epoch %d does not have", g.w.agents[s.number].name, s.epoch, g.epoch)
	}
	g.acked = append(g.acked, c.id)
	g.w.stats.Acked++
}

// promoted: a server takes writes under its epoch.
func (g *ledger) promoted(s *server) {
	w := g.w
	w.tell("%s is primary at epoch %d, timeline %d, %d entries", w.agents[s.number].name, s.epoch, s.timeline, len(s.log))
	if s.epoch <= g.epoch {
		return // a promotion that a later one overtook; it can acknowledge nothing, which released sees
	}
	w.stats.Failovers++
	g.epoch, g.log = s.epoch, s.log[:len(s.log):len(s.log)]
	kept, lost := g.acked[:0], 0
	for _, id := range g.acked {
		if g.has(s.log, id) {
			kept = append(kept, id)
		} else {
			lost++
		}
	}
	g.acked = kept
	w.stats.Lost += lost
	r := w.store.state.Request
	if bound := int(w.cfg.MaxLoss); lost > 0 && (r == nil || !r.Lose) && (w.cfg.Sync > 0 || lost > bound+slack && r == nil) {
		w.breakdown("%s became primary at epoch %d without %d acknowledged writes", w.agents[s.number].name, s.epoch, lost)
	}
}

// slack is what may be written between two looks at an asynchronous primary: the bound is held against what is known.
const slack = 600

// clients of one proxy write and read as long as it lives.
func (g *ledger) clients(p *proxy) {
	w := g.w
	if r := p.lease.Route; r.State == route.Serving && p.lease.Live(p.clock()) {
		if w.rng.IntN(3) > 0 {
			g.write(p, r.Epoch, w.number(r.Primary))
		} else {
			g.read(p, r.Epoch, w.number(r.Primary))
		}
	}
	w.after(time.Duration(50+w.rng.IntN(100))*ms, &p.proc, func() { g.clients(p) })
}

func (g *ledger) write(p *proxy, epoch uint64, to int) {
	w, s, id, life := g.w, g.w.agents[to].server, g.id(0), p.life
	p.open++
	done := false
	end := func() {
		if !done && p.lease.Route.Epoch == epoch && p.open > 0 {
			p.open--
		}
		done = true
	}
	w.send(&p.proc, &s.proc, func() {
		s.write(id, func() {
			w.answer(&s.proc, &p.proc, life, func() {
				end()
				g.handedOn(p, epoch, id)
				if p.passes(epoch) {
					g.gaps = max(g.gaps, w.now-g.served)
					g.served = w.now
				}
			})
		})
	})
	w.after(time.Second, &p.proc, end)
}

func (g *ledger) read(p *proxy, epoch uint64, to int) {
	if len(g.acked) == 0 {
		return
	}
	w, s, life := g.w, g.w.agents[to].server, p.life
	want := g.acked[len(g.acked)-1]
	w.send(&p.proc, &s.proc, func() {
		if !s.running || !s.primary {
			return
		}
		seen := g.has(s.log, want)
		w.answer(&s.proc, &p.proc, life, func() {
			if !p.passes(epoch) && !w.has("answer") {
				return
			}
			p.heard = p.clock()
			w.stats.Reads++
			if !seen && (w.cfg.Sync > 0 || epoch < g.epoch && slices.Contains(g.acked, want)) && !w.opt.Unbounded {
				w.breakdown("a read through %s at epoch %d misses a write that was acknowledged before", p.name, epoch)
			}
		})
	})
}

// passes: an answer is handed on only while the lease that the question went out under lives.
func (p *proxy) passes(epoch uint64) bool {
	return p.lease.Live(p.clock()) && p.lease.Route.Epoch == epoch
}

// handedOn: what an old primary acknowledges that nobody has stopped, or not yet, must end at the proxies.
func (g *ledger) handedOn(p *proxy, epoch uint64, id int) {
	w := g.w
	if !p.passes(epoch) && !w.has("answer") {
		return
	}
	if epoch < g.epoch && !g.has(g.log, id) && !w.opt.Unbounded {
		w.breakdown("%s hands on that a write is committed at epoch %d, which the primary of epoch %d does not have", p.name, epoch, g.epoch)
	}
	if w.mode == Routed {
		g.acked = append(g.acked, id)
		w.stats.Acked++
	}
}

// strangers bypass the proxies: they write to whichever server takes it.
func (g *ledger) strangers() {
	w := g.w
	p := w.proxies[w.rng.IntN(len(w.proxies))]
	s := w.agents[w.rng.IntN(len(w.agents))].server
	if p.up && s.running && s.primary && s.epoch > 0 {
		id := g.id(0)
		w.send(&p.proc, &s.proc, func() { s.write(id, func() {}) })
	}
	w.at(w.now+80*ms, nil, 0, g.strangers)
}
