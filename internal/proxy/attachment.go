package proxy

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/route"
)

// Attachment is one connection to the primary of an epoch. While it stands, that epoch is not closed here.
type Attachment struct {
	table *Table
	epoch uint64
	once  sync.Once
}

// Attach notes that a connection to v's primary is about to be used. It fails if v does not count any more.
func (t *Table) Attach(v *View) (*Attachment, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := t.view.Load(); now.Epoch != v.Epoch || now.Open() == route.Closed {
		return nil, fmt.Errorf("attach to epoch %d: the route changed", v.Epoch)
	}
	t.attached[v.Epoch]++
	return &Attachment{table: t, epoch: v.Epoch}, nil
}

// Epoch is that of the route under which the connection stands.
func (a *Attachment) Epoch() uint64 { return a.epoch }

// Detach notes that the connection is closed and nothing of it is under way. It may be called again.
func (a *Attachment) Detach() {
	a.once.Do(func() {
		t := a.table
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.attached[a.epoch]--; t.attached[a.epoch] == 0 {
			delete(t.attached, a.epoch)
			close(t.detached)
			t.detached = make(chan struct{})
		}
	})
}

// standing counts the connections under the route's epoch while it is closed, and under older ones.
func (t *Table) standing() (n int) {
	v := t.view.Load()
	for e, count := range t.attached {
		if e < v.Epoch || v.State == route.Closed {
			n += count
		}
	}
	return n
}

// Begin notes that a session begins something at the primary; it must look at the View after it, not before, so that
// a holding route that finds nothing open is not overtaken.
func (t *Table) Begin() { t.busy.Add(1) }

// End notes that what Begin noted is over.
func (t *Table) End() { t.busy.Add(-1) }

// Ack is what this proxy can confirm of the route that counts at this moment. Who needs it whole asks again: see Closed.
func (t *Table) Ack(id route.ID) route.Ack {
	v, settled := t.settled()
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := t.view.Load(); now != v {
		v, settled = now, false
	}
	a := route.Ack{Cluster: v.Cluster, Proxy: id, Epoch: v.Epoch, Version: v.Version}
	if v.State == route.Holding {
		a.Open = int(max(t.busy.Load(), 0))
		a.Drained = a.Open == 0 && settled
	}
	if v.State == route.Serving && v.Target != "" && settled {
		a.Ready = v.Moving
	}
	a.Closed = v.State != "" && t.standing() == 0
	return a
}

// settled says whether everyone has done what the route that counts asks. Watchers take locks of their own, under which they call the table.
func (t *Table) settled() (v *View, all bool) {
	t.mu.Lock()
	v = t.view.Load()
	watchers := slices.Clone(t.watchers)
	t.mu.Unlock()
	for _, w := range watchers {
		if !(*w).Settled(v) {
			return v, false
		}
	}
	return v, true
}

// Ask is the question for more time on the route that counts, with what this proxy's own traffic says of the primary.
func (t *Table) Ask(id route.ID) route.Ask {
	t.mu.Lock()
	watchers := slices.Clone(t.watchers)
	t.mu.Unlock()
	v, now := t.view.Load(), running()
	a := route.Ask{Cluster: v.Cluster, Proxy: id, Epoch: v.Epoch, Heard: -1}
	if heard := t.heard.Load(); heard >= 0 {
		a.Heard = now - time.Duration(heard)
	}
	for _, w := range watchers {
		a.Tried = max(a.Tried, (*w).Tried(now))
	}
	return a
}

// Closed waits until everything under epochs before the route's is severed, and under its own if that is closed.
func (t *Table) Closed(ctx context.Context) error {
	for {
		t.mu.Lock()
		n, detached, changed := t.standing(), t.detached, t.changed
		t.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-detached:
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("close the connections of older routes: %d stand: %w", n, context.Cause(ctx))
		}
	}
}
