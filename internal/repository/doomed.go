package repository

import (
	"context"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/ledger"
)

const (
	mercy         = 30 * time.Second // a tip outlives its place in the head by that, for a restore that is about to claim it
	deletesAtOnce = 8
	maxDoomed     = 10_000 // more are left to Sweep
)

// doomed is an object that was listed, and since when it is not.
type doomed struct {
	name  string
	since time.Time
}

// doom notes the tips that are no longer listed.
func (r *Repository) doom(before, after []ledger.Tip) {
	stands := make(map[string]bool, len(after))
	for _, t := range after {
		stands[t.Name] = true
	}
	now := r.o.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range before {
		if !stands[t.Name] && len(r.doomed) < maxDoomed {
			r.doomed = append(r.doomed, doomed{r.object(t.Name), now})
		}
	}
}

// bury deletes what has been doomed for long enough and is not being read, once in a while: to see who reads costs a
// request. What cannot be deleted now is left to Sweep.
func (r *Repository) bury(ctx context.Context) {
	now := r.o.Now()
	r.mu.Lock()
	n := 0
	for n < len(r.doomed) && now.Sub(r.doomed[n].since) >= mercy {
		n++
	}
	if n == 0 || now.Sub(r.buried) < mercy && now.After(r.buried) {
		r.mu.Unlock()
		return
	}
	due := r.doomed[:n:n]
	r.doomed, r.buried = r.doomed[n:], now
	r.mu.Unlock()
	// A claim that may be over counts too: by this host's clock nobody knows, and a Sweep removes it.
	read, _, err := r.claims(ctx, time.Time{})
	var g errgroup.Group
	g.SetLimit(deletesAtOnce)
	for _, d := range due {
		if by, _ := read.covers(strings.TrimPrefix(d.name, r.source+"/")); by != "" || err != nil {
			r.spare(doomed{d.name, now})
			continue
		}
		g.Go(func() error {
			if err := r.store.Delete(ctx, d.name); err != nil {
				r.o.Log.Debug("delete tip", "object", d.name, "error", err)
			}
			return nil
		})
	}
	_ = g.Wait() // the functions return nil
	killpoint.At(killpoint.TipsDropped)
}

// spare has a tip looked at again later.
func (r *Repository) spare(d doomed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.doomed) < maxDoomed {
		r.doomed = append(r.doomed, d)
	}
}
