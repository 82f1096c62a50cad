package sim

import (
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/route"
)

// proxy carries its host's clients. All that it knows is lost with its process.
type proxy struct {
	proc
	w      *World
	name   string
	lease  route.Lease
	heard  time.Duration // local
	moving time.Duration // local: since when the route names a member that the primary's place moves to
	logins time.Duration // how long its sessions take to log in there
	open   int
	next   int
}

func (p *proxy) clock() time.Duration { return p.w.local(p.host) }

func (p *proxy) id() route.ID {
	if p.w.has("life") {
		return route.ID{Name: p.name, Life: "1"}
	}
	return route.ID{Name: p.name, Life: fmt.Sprint(p.life)}
}

func (p *proxy) boot() {
	p.lease, p.open, p.heard = route.Lease{}, 0, cluster.Never
	p.renew()
	p.w.ledger.clients(p)
}

// renew asks whoever holds the epoch; who does not know asks everyone in turn.
func (p *proxy) renew() {
	to := p.w.number(p.lease.Route.Primary)
	if to < 0 || p.lease.Left(p.clock()) <= 0 {
		p.next++
		to = p.next % len(p.w.agents)
	}
	p.ask(to)
	wait := p.w.cfg.Lease / 5
	if p.lease.Left(p.clock()) <= 0 {
		wait = 50 * ms
	}
	p.w.after(wait, &p.proc, p.renew)
}

func (p *proxy) ask(to int) {
	a, asked, life := p.w.agents[to], p.clock(), p.life
	ask := route.Ask{Proxy: p.id(), Epoch: p.lease.Route.Epoch}
	p.w.send(&p.proc, &a.proc, func() {
		a.grant(ask, func(r route.Route) {
			p.w.answer(&a.proc, &p.proc, life, func() {
				if p.w.has("from the answer") {
					asked = p.clock()
				}
				p.heard = max(p.heard, asked)
				p.take(r, asked)
			})
		})
	})
}

func (p *proxy) take(r route.Route, asked time.Duration) {
	before := p.lease.Route
	lease, ok := p.lease.Apply(r, asked)
	if !ok {
		return
	}
	p.lease = lease
	if r.Epoch > before.Epoch {
		p.open = 0
	}
	if r.Moving != before.Moving {
		p.moving, p.logins = p.clock(), time.Duration(p.w.rng.IntN(400))*ms
	}
}

// told is a keeper's push; the answer is all that a keeper knows of a proxy.
func (p *proxy) told(r route.Route) (fact cluster.Proxy, heard time.Duration) {
	p.take(r, p.clock())
	have := p.lease.Route
	fact = cluster.Proxy{ID: p.id(), Closed: have.Epoch, Epoch: have.Epoch}
	if have.State == route.Holding && p.open == 0 || have.State == route.Closed {
		fact.Drained = have.Version
	}
	if have.State == route.Serving && p.clock()-p.moving >= p.logins {
		fact.Ready = have.Moving
	}
	if have.State == route.Serving && r.Newer(have) && have.Primary != "" && p.lease.Left(p.clock()) <= 0 {
		p.ask(p.w.number(have.Primary))
	}
	return fact, p.clock() - p.heard
}
