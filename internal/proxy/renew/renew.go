// Package renew keeps the route of this process's proxy of one cluster: it asks whoever holds the epoch for more time, and applies what
// keepers tell. It is the counterpart of the proxy in cluster/sim: same conditions, same order.
//
//	agent of the primary ◀── Ask, every fifth of the lease ── Renewer ──▶ proxy.Table
//	                                                             ▲
//	                                         Tell (gives no time) └── keepers
//
// It decides nothing. What it promises is package route's: a lease counts from when it was asked for, an older route changes nothing, and a life
// of the process has an ID of its own.
package renew

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/route"
)

// Granter is who may hold the epoch: a member's agent, or, where it has none, a keeper.
type Granter struct {
	Member string
	Remote bool // it is not on the primary's host: that it answers does not say that the primary lives
	peer.Granter
}

// Config of a Renewer.
type Config struct {
	Cluster string
	Host    string // the name of this host
	Table   *proxy.Table
	Lease   time.Duration // how long a route may be granted for; zero means 1.5s
	Holders []Granter     // whom to ask; several may stand for one member, of which one holds it
}

// again is the pause between two questions while there is no route.
const again = 50 * time.Millisecond

// Renewer keeps one table's route. It is a peer.Carrier.
type Renewer struct {
	c  Config
	id route.ID

	mu    sync.Mutex
	heard proxy.Moment // when the newest question was asked that had an answer
	ever  bool
	kick  chan struct{}
}

var _ peer.Carrier = (*Renewer)(nil)

// New makes a renewer with an ID that no other life has.
func New(c Config) *Renewer {
	if c.Lease == 0 {
		c.Lease = 1500 * time.Millisecond
	}
	var life [8]byte
	_, _ = rand.Read(life[:]) // it never fails: crypto/rand ends the process first
	return &Renewer{c: c, id: route.ID{Name: c.Host, Life: hex.EncodeToString(life[:])}, kick: make(chan struct{}, 1)}
}

// ID is this life's.
func (r *Renewer) ID() route.ID { return r.id }

// Run renews the route until ctx ends. The route then ends with its lease.
func (r *Renewer) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		r.renew(ctx)
		wait := r.c.Lease / 5
		if r.c.Table.View().Open() == route.Closed {
			wait = again
		}
		pause, stop := context.WithTimeout(ctx, wait)
		select {
		case <-r.kick:
		case <-pause.Done():
		}
		stop()
	}
	return ctx.Err()
}

// renew asks the member that the route names; who has no route asks everyone, at once: hosts that are gone must not hold up the one
// that is there.
func (r *Renewer) renew(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.c.Lease/3)
	defer cancel()
	v := r.c.Table.View()
	holders := r.c.Holders
	if v.Open() != route.Closed && v.Primary != "" {
		holders = slices.DeleteFunc(slices.Clone(holders), func(h Granter) bool { return h.Member != v.Primary })
	}
	var all sync.WaitGroup
	for _, h := range holders {
		all.Go(func() {
			if r.ask(ctx, h) {
				cancel() // nobody else holds the epoch
			}
		})
	}
	all.Wait()
}

// ask asks one holder, and reports whether it gave a route.
func (r *Renewer) ask(ctx context.Context, of Granter) bool {
	question := r.c.Table.Ask(r.id)
	question.Cluster = r.c.Cluster
	asked := proxy.Now()
	answer, err := of.Grant(ctx, question)
	if err != nil {
		return false // the route ends by itself
	}
	if !of.Remote {
		r.mu.Lock()
		r.heard, r.ever = max(r.heard, asked), true
		r.mu.Unlock()
	}
	return r.c.Table.Apply(asked, answer) == nil // an older one is a holder that does not know yet that it is one no more
}

// closing is how long a keeper's word waits for connections to be severed, so that its answer can say so.
const closing = 50 * time.Millisecond

// Tell implements peer.Carrier.
func (r *Renewer) Tell(ctx context.Context, to route.Route) (route.Ack, time.Duration, error) {
	to.For = 0
	_ = r.c.Table.Apply(proxy.Now(), to) // an older one is answered with what counts
	v := r.c.Table.View()
	switch {
	case v.State == route.Serving && v.Open() == route.Closed:
		select {
		case r.kick <- struct{}{}: // a new holder is known: ask it now
		default:
		}
	case v.State == route.Holding:
		soon, cancel := context.WithTimeout(ctx, closing)
		r.drained(soon)
		cancel()
	case v.State != route.Serving:
		soon, cancel := context.WithTimeout(ctx, closing)
		_ = r.c.Table.Closed(soon) // the answer says whether it is
		cancel()
	}
	ack := r.c.Table.Ack(r.id)
	ack.Cluster = r.c.Cluster
	return ack, r.heardOf(), nil
}

// drained waits until no transaction is open any more, or the route is another one, or ctx ends.
func (r *Renewer) drained(ctx context.Context) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for v := r.c.Table.View(); r.c.Table.View() == v && !r.c.Table.Ack(r.id).Drained; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// heardOf is how long ago the primary was last heard: its agent's answers and its server's traffic count. Negative: never.
func (r *Renewer) heardOf() time.Duration {
	now := proxy.Now()
	heard := time.Duration(-1)
	r.mu.Lock()
	if r.ever {
		heard = time.Duration(now - r.heard)
	}
	r.mu.Unlock()
	if own := r.c.Table.Ask(r.id); own.Heard >= 0 && (heard < 0 || own.Heard < heard) {
		heard = own.Heard
	}
	return heard
}
