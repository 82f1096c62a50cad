package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
)

// ExtendLocks locks what counts anew where less than half of Options.Lock is left of its lock, so that it cannot be
// deleted as long as it is needed. except are the names, as in an Order, of what is to be dropped: their locks run out.
// It returns how many locks it extended. Without object lock it does nothing.
//
// Objects that are younger than half of the time are not asked for: they were locked when they were put.
func (r *Repository) ExtendLocks(ctx context.Context, except []string) (int, error) {
	if r.locker == nil {
		return 0, nil
	}
	due, err := r.locksDue(ctx, except)
	if err != nil {
		return 0, fmt.Errorf("extend locks of %s: %w", r.source, err)
	}
	var extended atomic.Int64
	g, locking := errgroup.WithContext(ctx)
	g.SetLimit(locksAtOnce)
	for _, o := range due {
		g.Go(func() error {
			done, err := r.extend(locking, o.Name)
			if done {
				extended.Add(1)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return int(extended.Load()), fmt.Errorf("extend locks of %s: %w", r.source, err)
	}
	return int(extended.Load()), nil
}

// locksDue lists the objects that are needed and old enough for their lock to be looked at.
func (r *Repository) locksDue(ctx context.Context, except []string) ([]store.Object, error) {
	objects, err := listObjects(ctx, r.store, r.source+"/")
	if err != nil {
		return nil, err
	}
	needed, head := map[string]bool{}, ""
	err = r.view(ctx, func(c ledger.Checkpoint, _ []ledger.Ignored) error {
		head = fmt.Sprintf("ledger/checkpoint/%012d", c.Number)
		for name := range r.fold.objects {
			needed[sweepUnit(name)] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range except {
		delete(needed, name)
	}
	var now time.Time
	for _, o := range objects {
		now = latest(now, o.Created)
	}
	var due []store.Object
	for _, o := range objects {
		name := r.relative(o)
		// Bundles hold leaves that are needed for ever; of checkpoints the newest has those that no bundle holds.
		ours := needed[sweepUnit(name)] || strings.HasPrefix(name, "ledger/bundle/") || name == head
		if ours && now.Sub(o.Created) >= r.o.Lock/2 {
			due = append(due, o)
		}
	}
	return due, nil
}

// extend locks one object if its lock ends soon.
func (r *Repository) extend(ctx context.Context, object string) (bool, error) {
	until, err := r.locker.LockedUntil(ctx, object)
	if err == nil && until.Sub(r.o.Now()) < r.o.Lock/2 {
		err = r.lock(ctx, object)
		return err == nil, gone(err)
	}
	return false, gone(err)
}

// gone takes it for done that an object was deleted meanwhile.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
