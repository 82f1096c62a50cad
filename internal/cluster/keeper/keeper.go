// Package keeper looks at a cluster, asks package cluster what to do, and has it done. One runs on each host that may decide; the one that the
// coordination hints at acts, the others only look, so that they know since when somebody is silent when it is their turn.
//
//	coordination ──▶ state ─┐
//	members ──────▶ facts ──┼─▶ View ─▶ cluster.Decide ─▶ audit ─┬─▶ state' by compare-and-swap
//	proxies ──────▶ acks ───┘                                    └─▶ actions to members
//
// It keeps nothing across a crash: the state is in the coordination, facts are looked up again, and what is asked of members may be asked
// twice. It is the counterpart of the keeper in cluster/sim: same conditions, same order. What it promises:
//
//  1. A decision is written to the audit log, or that has failed for 200 ms, before it has any effect, but for those that are made while there is
//     no primary: they are in the state, with their reason, before anything rests on them, and in the log at once after that.
//  2. It changes the state only by compare-and-swap from what it decided upon. After a refusal it reads and decides anew.
//  3. An answer that comes later than the time after which silence is death is no answer. Moments are read on a clock of its own, which
//     counts suspended time; whoever stood still has seen nothing meanwhile and begins anew.
//  4. Nobody is waited for: each member and each proxy is asked on its own, and so are coordination, repository and audit log.
//
// While a cluster is paused nobody is failed over and nobody is told whom to follow; what a person asks for is done, and who must have a commit is
// still kept in order.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/proxy"
)

// Config of one cluster's keeper on one host.
type Config struct {
	Cluster cluster.Config
	Store   lease.Store
	Key     string                  // of the state's document
	Members map[string]peer.Member  // all of Cluster.Peers
	Proxies map[string]peer.Carrier // by host
	Hosts   map[string]string       // on which host a member runs; empty: leadership is moved away from none
	Host    string                  // this one

	Repository Repository           // nil: no log can be had from one
	Audit      Auditor              // nil: nothing is recorded
	Tell       func(Event)          // nil: nobody. It must not wait
	Now        func() time.Duration // nil: a clock that counts suspended time
}

// Repository knows how much of the cluster's log is safe away from its members.
type Repository interface {
	// Newest is the end of the unbroken, durable log of a timeline; the zero Position if it has none of it.
	Newest(ctx context.Context, timeline uint32) (history.Position, error)
}

// Auditor keeps what was decided.
type Auditor interface {
	// Record makes an entry durable. Calls come one at a time, and end with ctx.
	Record(ctx context.Context, e Entry) error
}

// How often it looks.
const (
	serving  = 150 * time.Millisecond // at a cluster that serves
	changing = 20 * time.Millisecond  // at one that does not
	idle     = 300 * time.Millisecond // when another one leads
	atOnce   = 4                      // questions to one member or proxy that wait for an answer, at most
)

// Keeper of one cluster. New makes it, Run runs it.
type Keeper struct {
	c     Config
	now   func() time.Duration
	news  chan func() // what came back, for the goroutine of loop
	audit chan record
	short sync.WaitGroup // of questions under way

	// All below is loop's alone.
	leading  bool
	known    bool
	state    cluster.State
	revision uint64
	view     cluster.View
	turned   time.Duration            // when loop last came round
	looked   time.Duration            // when the state was last asked for
	asked    map[string]time.Duration // when who was last asked
	swapping bool
	asking   map[string]int       // questions under way, by whom
	busy     map[string]bool      // actions under way
	sent     map[string]sent      // the newest of them, by the same
	recorded map[string]record    // actions and changes of this step that are in the audit log
	complain map[string]complaint // what each fails with, so that it is told once
	decision cluster.Decision
	moved    time.Duration // when leadership was last asked to move
	passage  passage

	mu     sync.Mutex
	status Status
}

// New makes a keeper.
func New(c Config) (*Keeper, error) {
	c.Cluster = c.Cluster.WithDefaults()
	for _, p := range c.Cluster.Peers {
		if c.Members[p.Name] == nil {
			return nil, fmt.Errorf("keep cluster %s: nobody answers for member %s", c.Cluster.Cluster, p.Name)
		}
	}
	k := &Keeper{
		c: c, now: c.Now, news: make(chan func(), 64), audit: make(chan record, 256), moved: cluster.Never, looked: cluster.Never,
		asked: map[string]time.Duration{}, asking: map[string]int{}, busy: map[string]bool{}, sent: map[string]sent{}, recorded: map[string]record{}, complain: map[string]complaint{},
	}
	if k.now == nil {
		k.now = func() time.Duration { return time.Duration(proxy.Now()) }
	}
	return k, nil
}

// Run works until ctx ends. What was asked and not answered is left alone then; it may still be carried out.
func (k *Keeper) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return k.loop(ctx) })
	g.Go(func() error { return k.follow(ctx) })
	g.Go(func() error { return k.writeAudit(ctx) })
	g.Go(func() error { return k.candidacy(ctx) })
	if k.c.Repository != nil {
		g.Go(func() error { return k.lookAtRepository(ctx) })
	}
	err := g.Wait()
	k.short.Wait()
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

func (k *Keeper) loop(ctx context.Context) error {
	k.begin()
	turn := time.NewTimer(0)
	defer turn.Stop()
	for {
		tick := false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case f := <-k.news:
			k.notice()
			f()
		case <-turn.C:
			tick = true
			k.notice()
			if k.now()-k.looked >= serving {
				k.looked = k.now()
				k.read(ctx)
			}
			k.glance(ctx)
			k.decide(ctx)
			k.avoid(ctx)
		}
		k.publish()
		if tick {
			turn.Reset(k.pause())
		}
	}
}

// notice begins anew after this process stood still: what nobody could say meanwhile is no silence.
func (k *Keeper) notice() {
	now := k.now()
	if now-k.turned > idle+k.c.Cluster.After/2 {
		k.begin()
	}
	k.turned = now
}

func (k *Keeper) begin() {
	now := k.now()
	k.turned, k.known = now, false
	k.view = cluster.View{Since: now, Began: now, BeatSeen: now}
	for _, p := range k.c.Cluster.Peers {
		k.view.Facts = append(k.view.Facts, cluster.Fact{Name: p.Name, Answered: cluster.Never, Heard: cluster.Never, Vouched: cluster.Never, Stalled: cluster.Never, Short: cluster.Never, Streamed: cluster.Never})
	}
}

func (k *Keeper) pause() time.Duration {
	switch {
	case !k.leading:
		return idle
	case k.known && k.state.Phase == cluster.Serving && k.state.Request != nil:
		return changing
	case !k.known || k.unhurried():
		return serving
	default:
		return changing
	}
}

// ask runs a question on a goroutine of its own, with a deadline, and what its answer means on loop's. Of those to one party only some
// wait at a time, so that one that hangs costs no more than them.
func (k *Keeper) ask(ctx context.Context, whom string, limit int, patience time.Duration, question func(context.Context) (answer func())) {
	if k.asking[whom] >= limit {
		return
	}
	k.asking[whom]++
	k.asked[whom] = k.now()
	k.short.Go(func() {
		within, stop := context.WithTimeout(ctx, patience)
		answer := question(within)
		stop()
		k.post(ctx, func() {
			k.asking[whom]--
			if answer != nil {
				answer()
			}
		})
	})
}

func (k *Keeper) post(ctx context.Context, f func()) {
	select {
	case k.news <- f:
	case <-ctx.Done():
	}
}

// avoid moves leadership of the coordination away from the primary's host.
func (k *Keeper) avoid(ctx context.Context) {
	mover, ok := k.c.Store.(interface {
		Avoid(ctx context.Context, cluster, host string) error
	})
	host := k.c.Hosts[k.state.Primary]
	if !ok || !k.leading || !k.known || host == "" || k.state.Phase != cluster.Serving || k.now()-k.moved < 5*time.Second {
		return
	}
	k.moved = k.now()
	k.ask(ctx, "avoid", 1, 5*time.Second, func(within context.Context) func() {
		err := mover.Avoid(within, k.c.Cluster.Cluster, host)
		return func() { k.failed("coordination", "move leadership", err) }
	})
}

// names of m, sorted: whom to ask in which order is the same each time.
func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
