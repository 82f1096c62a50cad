package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/lease"
)

// Key is the document of a cluster's state: a plain name, whatever the cluster is called.
func Key(name string) string {
	var b strings.Builder
	b.WriteString("cluster-")
	for _, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

func decode(e lease.Entry) (s cluster.State, err error) {
	if e.Revision > 0 {
		err = json.Unmarshal(e.Value, &s)
	}
	return s, err
}

// Read reads a cluster's state. It also returns the entry that it stands in.
func Read(ctx context.Context, store lease.Store, key string) (cluster.State, lease.Entry, error) {
	e, err := store.Get(ctx, key)
	if err != nil {
		return cluster.State{}, e, err
	}
	s, err := decode(e)
	if err != nil {
		return s, e, fmt.Errorf("read the cluster's state: %w", err)
	}
	return s, e, nil
}

// Change reads a cluster's state, has change make the next one, and swaps it in, again if somebody else was quicker. It returns the state that is
// there afterwards. An error of change ends it, and nothing is written.
func Change(ctx context.Context, store lease.Store, key string, change func(*cluster.State) error) (cluster.State, error) {
	for {
		s, e, err := Read(ctx, store, key)
		if err != nil {
			return s, err
		}
		if err := change(&s); err != nil {
			return s, err
		}
		value, err := json.Marshal(s)
		if err != nil {
			return s, err
		}
		_, err = store.Swap(ctx, key, e.Revision, value)
		if !errors.Is(err, lease.ErrStale) {
			return s, err
		}
	}
}

// waits for the coordination.
const (
	readWithin = 2 * time.Second
	swapWithin = time.Second
)

// read asks for the state. Watching tells sooner, as long as its connection lives.
func (k *Keeper) read(ctx context.Context) {
	k.ask(ctx, "coordination", 1, readWithin, func(within context.Context) func() {
		e, err := k.c.Store.Get(within, k.c.Key)
		return func() {
			k.failed("coordination", "read the state", err)
			if err == nil {
				k.learn(e)
			}
		}
	})
}

// follow watches the state.
func (k *Keeper) follow(ctx context.Context) error {
	for {
		err := k.c.Store.Watch(ctx, k.c.Key, 0, func(e lease.Entry) {
			k.post(ctx, func() {
				if k.learn(e) && k.leading { // the others look soon enough
					k.probe(ctx)
					k.decide(ctx)
				}
			})
		})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		k.post(ctx, func() { k.failed("coordination", "watch the state", err) })
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(serving):
		}
	}
}

// learn takes a newer state. It reports whether phase, epoch or request changed: what is worth a decision at once.
func (k *Keeper) learn(e lease.Entry) (news bool) {
	if k.known && e.Revision <= k.revision {
		return false
	}
	s, err := decode(e)
	if err != nil {
		k.failed("state", "read the state", err)
		return false
	}
	now := k.now()
	if !k.known || s.Epoch != k.state.Epoch || s.Phase != k.state.Phase {
		k.view.Since, news = now, true
		if way := k.passage.enter(s.Phase, now); way != "" && k.leading {
			k.tell(Event{Kind: Passed, Epoch: s.Epoch, Phase: s.Phase, Text: way})
		}
	}
	if !k.known || s.Beat != k.state.Beat {
		k.view.BeatSeen = now
	}
	if s.Step != k.state.Step {
		clear(k.recorded)
	}
	if s.Request != nil && (!k.known || k.state.Request == nil || *s.Request != *k.state.Request) {
		k.view.Asked, news = now, true
	}
	k.known, k.state, k.revision = true, s, e.Revision
	return news
}

// swap records a decision, and then writes it.
func (k *Keeper) swap(ctx context.Context, d cluster.Decision) {
	value, err := json.Marshal(d.Next)
	if err != nil {
		k.failed("state", "write the state", err)
		return
	}
	k.swapping = true
	k.passage.mark(d.Row, k.now())
	written, ok := k.recorded[d.Row] // tried before, and somebody else was quicker: a beat, most often
	if !ok {
		written = k.record(Entry{Row: d.Row, Reason: d.Reason, Epoch: d.Next.Epoch, Phase: d.Next.Phase, Change: true})
		k.recorded[d.Row] = written
	}
	from, waits := k.revision, k.unhurried() && d.Next.Phase != cluster.Fencing
	k.short.Go(func() {
		if waits {
			written.wait(ctx)
		}
		within, stop := context.WithTimeout(ctx, swapWithin)
		e, err := k.c.Store.Swap(within, k.c.Key, from, value)
		stop()
		k.post(ctx, func() {
			k.swapping = false
			if err != nil {
				if !errors.Is(err, lease.ErrStale) {
					k.failed("coordination", "change the state", err)
				}
				k.again(ctx)
				return
			}
			k.learn(e)
			k.probe(ctx)
			k.tell(Event{Kind: Changed, Epoch: d.Next.Epoch, Phase: d.Next.Phase, Row: d.Row, Text: d.Reason, Risk: d.Next.Risk})
			k.decide(ctx)
		})
	})
}

// again reads and decides anew, after a swap that was refused or not answered.
func (k *Keeper) again(ctx context.Context) {
	k.ask(ctx, "again", 1, readWithin, func(within context.Context) func() {
		e, err := k.c.Store.Get(within, k.c.Key)
		return func() {
			if err == nil {
				k.learn(e)
				k.decide(ctx)
			}
		}
	})
}

// candidacy asks the coordination whether this host is the one that should act.
func (k *Keeper) candidacy(ctx context.Context) error {
	for {
		within, stop := context.WithTimeout(ctx, swapWithin)
		leads, err := k.c.Store.Leads(within)
		stop()
		k.post(ctx, func() {
			if leads = leads && err == nil; leads != k.leading {
				k.leading = leads
				k.tell(Event{Kind: Leading, Epoch: k.state.Epoch, Text: map[bool]string{true: "this host decides from now on", false: "another host decides from now on"}[leads]})
				k.decide(ctx)
			}
		})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(serving / 2):
		}
	}
}
