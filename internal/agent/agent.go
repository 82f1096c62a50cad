// Package agent acts on the host of a cluster's member: it keeps the member's word, holds the epoch where its server is primary, gives
// routes to proxies, and does to the server what keepers order. It decides nothing (package cluster does), and is the counterpart of the
// agent in cluster/sim: same conditions, same order.
//
// What it promises:
//
//  1. What it promised is on its disk before anybody hears of it. Without that file it promises, vouches and follows nothing before it
//     has read the state.
//  2. Its server is primary only under an epoch that the state gave to this member, begins only while the tenure of that epoch lasts, and
//     is stopped when the tenure is over. A guard beside the agent does the same where the agent is dead or frozen (Guard).
//  3. A tenure counts from when the beat was sent that renewed it, on a clock that counts suspended time.
//  4. A proxy gets a route only after its life is in the state.
//  5. Nothing of a lower epoch than the promised one is carried out. What a probe tells of the log was seen after what it tells of
//     the promise.
//
// A tenure is renewed by the beat in the state or, while there is no coordination, by the word of all other agents:
//
//	     ┌────────── beat swapped in / all others vouch ──────────┐
//	     ▼                                                        │
//	tenure(e) ── promise of e+1, or e+1 read ──▶ none      tenure(e) still
//	     └── lease over ──▶ server stopped ── renewed, still e ──▶ server started again
//
// Goroutines of Run: round (beats), listen (hears of changes of the state between beats), observe (looks at the server), watch (stops it by the deadline), and one job at a time, which a command of
// a newer epoch breaks off.
package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/route"
)

// Config is one member's agent.
type Config struct {
	Cluster cluster.Config
	Member  string // of Cluster.Peers
	Dir     string // where the oath is kept: a folder of its own, durable, not inside the server's data; made where it is missing

	Store  lease.Store
	Key    string // of the state's document
	Server Server

	// Voucher is another member's agent; nil for one that has none. Members without one are never asked, so that the tenure then rests on the coordination alone.
	Voucher func(member string) peer.Voucher

	// Deadline is shared with a guard; nil: an agent that is dead or frozen stops nothing.
	Deadline *Deadline
	// Guarded reports whether a guard runs (GuardProcess.Alive). A member that counts as guarded does not begin to lead without one.
	// Nil: yes.
	Guarded func() bool

	Now  func() time.Duration // the clock; nil: one that counts suspended time
	Tell func(Event)          // for log and audit; nil: nobody. It must not wait
}

// Event is something that people should read later.
type Event struct {
	Member string
	Epoch  uint64
	What   string // "promised", "stopped", "promoted", …: one word, for those who count
	Text   string // one sentence
	Err    error
}

// Agent is one member's. New makes it; Run runs it. It is a peer.Member, a peer.Voucher and a peer.Granter.
type Agent struct {
	c    Config
	path string
	now  func() time.Duration

	writing sync.Mutex // of what is kept
	halting sync.Mutex // one stop at the deadline at a time

	mu         sync.Mutex
	kept       kept
	lost       bool          // the oath is gone: see the package's first promise
	vouched    time.Duration // when it last vouched; after a start the moment of the start
	booted     time.Duration
	tenure     cluster.Tenure
	stopBy     cluster.Tenure // of the server: what the guard goes by. A restart of the agent does not lose it
	known      bool           // state and entry were read in this life
	state      cluster.State
	entry      lease.Entry
	unanswered bool                       // the newest beat
	hurried    uint64                     // the epoch whose primary the server was last told to ask at once
	appointed  time.Duration              // when it was first seen to hold the state's epoch
	want       []route.ID                 // lives to be recorded with the next beat
	asked      map[route.ID]time.Duration // when lives were last given a route
	dropped    map[route.ID]bool          // lives that a beat which may have been swapped in leaves out
	sight      Sight                      // newest
	seen       time.Duration              // when it was asked for; Never: not yet
	mayLead    bool                       // the server may be primary, under kept.Led
	madeAt     time.Duration              // when it last may have become that: earlier looks say nothing about it
	stoppedAt  time.Duration              // when it was last stopped: likewise
	short      time.Duration              // since when too few standbys stream; Never: enough do
	prepared   time.Duration              // when the server last wrote a checkpoint for a planned change; Never: not yet
	parted     time.Duration              // since when the server is not with whom it should follow; Never: it is
	job        *job                       // what runs
	failed     map[string]setback         // by name of job
	ended      bool                       // Run has: no job is begun any more
	ctx        context.Context            // of Run; jobs end with it

	beating chan struct{} // holds one: beats are sent one at a time
	jobs    sync.WaitGroup
}

var _ interface {
	peer.Member
	peer.Voucher
	peer.Granter
} = (*Agent)(nil)

// New reads what the agent kept.
func New(c Config) (*Agent, error) {
	c.Cluster = c.Cluster.WithDefaults()
	a := &Agent{
		c: c, path: filepath.Join(c.Dir, "oath.json"), now: c.Now, seen: cluster.Never, short: cluster.Never, parted: cluster.Never, prepared: cluster.Never, beating: make(chan struct{}, 1),
		asked: map[route.ID]time.Duration{}, dropped: map[route.ID]bool{}, failed: map[string]setback{},
	}
	if a.now == nil {
		a.now = func() time.Duration { return time.Duration(proxy.Now()) }
	}
	err := os.MkdirAll(c.Dir, 0o700)
	if err != nil {
		return nil, fmt.Errorf("make the folder of the oath: %w", err)
	}
	if a.kept, a.lost, err = load(a.path); err != nil {
		return nil, err
	}
	a.vouched, a.booted = a.now(), a.now()
	a.mayLead = a.kept.Led > 0
	if until, _, ok := c.Deadline.Read(); ok {
		a.stopBy = a.stopBy.Renew(a.kept.Led, until, 0)
	}
	a.attend()
	return a, nil
}

// Run works until ctx ends. The server goes on: whoever upgrades the agent starts the next one within the lease.
func (a *Agent) Run(ctx context.Context) error {
	a.mu.Lock()
	a.ctx = ctx
	a.mu.Unlock()
	a.observe(ctx)
	a.beat(ctx, 0)
	a.round(ctx) // the state was asked twice, once to know it and once for tenure, before a server that runs is stopped
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.every(ctx, a.c.Cluster.Lease/5, a.round) })
	g.Go(func() error { return a.every(ctx, looking, a.observe) })
	g.Go(func() error { return a.every(ctx, watching, a.watch) })
	g.Go(func() error { return a.every(ctx, listening, a.listen) })
	err := g.Wait()
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.jobs.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// How often the server is looked at, and the deadline; and how soon the state is listened to again.
const (
	looking   = 200 * time.Millisecond
	watching  = 50 * time.Millisecond
	listening = time.Second
)

func (a *Agent) every(ctx context.Context, pause time.Duration, do func(context.Context)) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		do(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (a *Agent) tell(epoch uint64, what, text string, err error) {
	if a.c.Tell != nil {
		a.c.Tell(Event{Member: a.c.Member, Epoch: epoch, What: what, Text: text, Err: err})
	}
}

func (a *Agent) self() cluster.Peer {
	for _, p := range a.c.Cluster.Peers {
		if p.Name == a.c.Member {
			return p
		}
	}
	return cluster.Peer{}
}
