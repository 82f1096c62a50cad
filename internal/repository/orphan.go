package repository

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

// orphanAge is how long an object may be written to and not be listed before Sweep takes it for left behind.
const orphanAge = 24 * time.Hour

func listObjects(ctx context.Context, s store.Store, prefix string) ([]store.Object, error) {
	var objects []store.Object
	err := s.List(ctx, prefix, func(o store.Object) error { objects = append(objects, o); return nil })
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	return objects, nil
}

// SweepOptions say how to clean up.
type SweepOptions struct {
	DryRun bool
}

// Sweep deletes what writers that crashed or gave up have left behind: tips that are no longer listed, segments and
// bases that never were or were dropped, when nothing of them is younger than a day by the store's own clock. It
// returns what it deleted, or with DryRun what it would.
func (r *Repository) Sweep(ctx context.Context, o SweepOptions) ([]store.Object, error) {
	if r.signer == nil && !o.DryRun {
		return nil, fmt.Errorf("sweep %s: the repository is opened for reading only", r.source)
	}
	objects, err := listObjects(ctx, r.store, r.source+"/")
	if err != nil {
		return nil, fmt.Errorf("sweep %s: %w", r.source, err)
	}
	listed := map[string]bool{} // read after the listing: what was on its way then is in
	err = r.view(ctx, func(head ledger.Checkpoint, _ []ledger.Ignored) error {
		for _, l := range r.fold.listed(head) {
			listed[r.object(sweepUnit(l.Name))] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sweep %s: %w", r.source, err)
	}
	var swept []store.Object
	for _, old := range r.leftBehind(objects, listed) {
		if !o.DryRun {
			if err := r.store.Delete(ctx, old.Name); err != nil {
				return swept, fmt.Errorf("sweep %s: %w", r.source, err)
			}
		}
		swept = append(swept, old)
	}
	return swept, nil
}

// sweepUnit is what stays or goes together: a base as a whole, anything else alone.
func sweepUnit(name string) string {
	if strings.HasPrefix(name, "base/") {
		if i := strings.LastIndexByte(name, '/'); i > 0 {
			return name[:i]
		}
	}
	return name
}

func (r *Repository) leftBehind(objects []store.Object, listed map[string]bool) []store.Object {
	var now time.Time
	youngest := map[string]time.Time{}
	for _, o := range objects {
		unit := r.object(sweepUnit(strings.TrimPrefix(o.Name, r.source+"/")))
		now = latest(now, o.Created)
		youngest[unit] = latest(youngest[unit], o.Created)
	}
	var old []store.Object
	for _, o := range objects {
		name := strings.TrimPrefix(o.Name, r.source+"/")
		folder, _, _ := strings.Cut(name, "/")
		unit := r.object(sweepUnit(name))
		ours := folder == "base" || folder == "tip" || folder == "log"
		if ours && !listed[unit] && now.Sub(youngest[unit]) >= orphanAge {
			old = append(old, o)
		}
	}
	return old
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
