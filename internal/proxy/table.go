package proxy

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backstaydb/backstay/internal/route"
)

// View is a route as it counts at some moment. A View is never changed.
type View struct {
	route.Route
	lease   route.Lease
	running time.Duration // end of the lease on the cheap clock
	expired bool          // it was found to be over
}

// Open is what may be carried now: the route's state, or Closed when its time is over or was never given.
func (v *View) Open() route.State {
	if v.expired || v.State == "" || running() >= v.running {
		return route.Closed
	}
	return v.State
}

// Expired says whether it is closed only because nobody renewed it.
func (v *View) Expired() bool { return v.State != route.Closed && v.Open() == route.Closed }

// Table holds the route that counts. NewTable makes one.
type Table struct {
	view  atomic.Pointer[View]
	slept atomic.Int64 // cheap clock at the last look at the other one
	busy  atomic.Int64 // sessions with something open at the primary
	heard atomic.Int64 // cheap clock when the primary last said something

	mu       sync.Mutex
	timer    *time.Timer
	changed  chan struct{} // closed and replaced at each change
	watchers []*Watcher
	attached map[uint64]int // connections to a primary, by the epoch of their route
	detached chan struct{}  // closed and replaced when the last one of an epoch ends
}

// Watcher hears of routes. Its functions must not wait, and must not call the table but for View.
type Watcher interface {
	Routed(*View)                          // the route changed; one call at a time
	Settled(*View) bool                    // all that followed from the route is done, and from a serving one with a target what can be done ahead
	Tried(now time.Duration) time.Duration // how long the oldest thing that the primary was asked waits for an answer; zero: nothing waits
}

// watching is a Watcher that has nothing to do of its own.
type watching func(*View)

func (w watching) Routed(v *View)                  { w(v) }
func (watching) Settled(*View) bool                { return true }
func (watching) Tried(time.Duration) time.Duration { return 0 }

// NewTable makes a table without a route: closed.
func NewTable() *Table {
	t := &Table{changed: make(chan struct{}), detached: make(chan struct{}), attached: map[uint64]int{}}
	t.view.Store(&View{})
	t.heard.Store(-1)
	return t
}

// StaleRouteError is a route that is older than the one that counts.
type StaleRouteError struct{ Epoch, Version, Current uint64 }

func (e *StaleRouteError) Error() string {
	return fmt.Sprintf("route of epoch %d, version %d is refused: epoch %d counts", e.Epoch, e.Version, e.Current)
}

// Apply makes r the route that counts; see route.Lease for what r may change. asked is the moment at which r was asked for.
// An older route is refused with a *StaleRouteError and changes nothing. Apply does not wait for what follows from the
// route; see Ack and Closed.
func (t *Table) Apply(asked Moment, r route.Route) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.view.Load()
	lease, ok := old.lease.Apply(r, time.Duration(asked))
	if !ok {
		return &StaleRouteError{r.Epoch, r.Version, old.Epoch}
	}
	now := awake()
	v := &View{Route: r, lease: lease, running: running() + lease.Until() - now, expired: !lease.Live(now)}
	known := v.expired == old.expired && v.Open() == old.Open() && same(v.Route, old.Route) // nobody has anything new to do
	t.view.Store(v)
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	if !v.expired {
		t.timer = time.AfterFunc(lease.Until()-now, func() { t.expire(v) })
	}
	if !known {
		t.tell(v)
	}
	return nil
}

// same says whether two routes are one, but for their time: of one version, and to the same places.
func same(a, b route.Route) bool {
	if len(a.Replicas) != len(b.Replicas) || a.Compare(b) != 0 || a.State != b.State || a.Address != b.Address || a.Target != b.Target {
		return false
	}
	for i := range a.Replicas {
		if a.Replicas[i] != b.Replicas[i] {
			return false
		}
	}
	return true
}

// expire ends v if it still counts.
func (t *Table) expire(v *View) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.view.Load() != v {
		return
	}
	over := *v
	over.expired = true
	t.view.Store(&over)
	t.tell(&over)
}

// tell has everyone hear of v.
func (t *Table) tell(v *View) {
	close(t.changed)
	t.changed = make(chan struct{})
	for _, w := range t.watchers {
		(*w).Routed(v)
	}
}

// napping is how much of the time that the process runs may pass between two looks at the clock that counts sleep: that
// one costs a call of the kernel, so that it is not asked for each packet.
const napping = 10 * time.Millisecond

// View is the route that counts. Look before each thing that is carried.
func (t *Table) View() *View { return t.look(running()) }

// Hear is View for who has got something from the primary.
func (t *Table) Hear() *View {
	now := running()
	t.heard.Store(int64(now))
	return t.look(now)
}

func (t *Table) look(now time.Duration) *View {
	v := t.view.Load()
	if last := t.slept.Load(); now-time.Duration(last) > napping && t.slept.CompareAndSwap(last, int64(now)) {
		if !v.expired && v.State != "" && !v.lease.Live(awake()) {
			t.expire(v)
			return t.view.Load()
		}
	}
	return v
}

// Watch has tell called at each change of the route, one at a time, until stop is called. tell must not wait, and must
// not call the table but for View.
func (t *Table) Watch(tell func(*View)) (stop func()) { return t.Join(watching(tell)) }

// Join has w hear of routes until stop is called.
func (t *Table) Join(watcher Watcher) (stop func()) {
	w := &watcher
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers = append(t.watchers, w)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for i, o := range t.watchers {
			if o == w {
				t.watchers = append(t.watchers[:i:i], t.watchers[i+1:]...)
				return
			}
		}
	}
}

// Await waits until ok holds for the route that counts.
func (t *Table) Await(ctx context.Context, ok func(*View) bool) (*View, error) {
	for {
		t.mu.Lock()
		changed := t.changed
		t.mu.Unlock()
		if v := t.View(); ok(v) {
			return v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
