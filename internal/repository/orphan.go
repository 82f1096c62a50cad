package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
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

// Sweep deletes what was dropped and could not be deleted then, and what writers that crashed or gave up have left behind:
// tips that are not listed and bases that never were, when nothing of them is younger than a day by the store's own clock.
// Claims that
// have ended go, too. It returns what it deleted, or with DryRun what it would. What is locked stays until a later Sweep.
//
// It takes nothing that somebody has claimed, and nothing that another writer may still list: a base is dropped in the ledger before anything of it is deleted,
// and a base that was dropped is never listed; a tip is listed within minutes or never, for a retry seals a new one.
// Segments that are not listed are left alone: the host that put one may have it in its spool and list it when it is back.
func (r *Repository) Sweep(ctx context.Context, o SweepOptions) ([]store.Object, error) {
	if r.signer == nil && !o.DryRun {
		return nil, fmt.Errorf("sweep %s: the repository is opened for reading only", r.source)
	}
	swept, err := r.sweep(ctx, o)
	if err != nil {
		return swept, fmt.Errorf("sweep %s: %w", r.source, err)
	}
	return swept, nil
}

func (r *Repository) sweep(ctx context.Context, o SweepOptions) (swept []store.Object, err error) {
	objects, err := listObjects(ctx, r.store, r.source+"/")
	if err != nil {
		return nil, err
	}
	left := &leftovers{r: r}
	err = r.view(ctx, func(head ledger.Checkpoint, _ []ledger.Ignored) error { // after the listing: what was on its way then is in
		left.find(objects, head)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !o.DryRun {
		if err := left.dropBases(ctx); err != nil {
			return nil, err
		}
	}
	if err := left.spareClaimed(ctx); err != nil || o.DryRun { // after the leaves that drop, as in Drop
		return left.objects, err
	}
	for _, old := range left.objects {
		err := r.store.Delete(ctx, old.Name)
		if errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return swept, err
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

// leftovers are objects that Sweep may delete.
type leftovers struct {
	r       *Repository
	objects []store.Object
	bases   []string  // names of manifests of bases among them that were not dropped
	now     time.Time // by the store's clock, or a little before
}

// find looks for what head does not list. It is called while the fold is locked.
func (l *leftovers) find(objects []store.Object, head ledger.Checkpoint) {
	listed := map[string]bool{}
	for _, o := range l.r.fold.listed(head) {
		listed[sweepUnit(o.Name)] = true
	}
	youngest := map[string]time.Time{}
	for _, o := range objects {
		unit := sweepUnit(l.r.relative(o))
		l.now = latest(l.now, o.Created)
		youngest[unit] = latest(youngest[unit], o.Created)
	}
	for _, o := range objects {
		name := l.r.relative(o)
		folder, _, _ := strings.Cut(name, "/")
		unit := sweepUnit(name)
		manifest := unit + "/manifest"
		dropped := l.r.fold.dropped[unit] || l.r.fold.dropped[manifest]
		old := (folder == "base" || folder == "tip") && l.now.Sub(youngest[unit]) >= orphanAge
		if listed[unit] || !dropped && !old {
			continue
		}
		l.objects = append(l.objects, o)
		if folder == "base" && !dropped && !slices.Contains(l.bases, manifest) {
			l.bases = append(l.bases, manifest)
		}
	}
}

// dropBases lists the bases as dropped, so that nobody can list them any more, and spares those that were listed
// meanwhile.
func (l *leftovers) dropBases(ctx context.Context) error {
	if len(l.bases) == 0 {
		return nil
	}
	var spared []string
	_, err := l.r.append(ctx, func(head ledger.Checkpoint) (ledger.Change, error) {
		var gone []string
		spared = nil
		for _, name := range l.bases {
			switch _, listed := l.r.fold.objects[name]; {
			case listed:
				spared = append(spared, sweepUnit(name))
			case !l.r.fold.dropped[name]:
				gone = append(gone, name)
			}
		}
		if len(gone) == 0 {
			return ledger.Change{}, ledger.ErrNoChange
		}
		body, err := ledger.Body(dropBody{gone, "it was never finished"})
		return ledger.Change{Tips: head.Tips, Leaves: []ledger.Leaf{{Kind: string(Drop), Body: body}}}, err
	})
	l.objects = slices.DeleteFunc(l.objects, func(o store.Object) bool { return slices.Contains(spared, sweepUnit(l.r.relative(o))) })
	return err
}

// spareClaimed leaves alone what somebody is reading, and adds the claims that do not count any more.
func (l *leftovers) spareClaimed(ctx context.Context) error {
	read, over, err := l.r.claims(ctx, l.now)
	if err != nil {
		return err
	}
	l.objects = slices.DeleteFunc(l.objects, func(o store.Object) bool {
		by, _ := read.covers(l.r.relative(o))
		return by != ""
	})
	l.objects = append(l.objects, over...)
	return nil
}

// relative is the name of an object below the source.
func (r *Repository) relative(o store.Object) string { return strings.TrimPrefix(o.Name, r.source+"/") }

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
