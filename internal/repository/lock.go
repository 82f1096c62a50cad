package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/store"
)

// locksAtOnce is how many objects are locked at once; each takes some round trips.
const locksAtOnce = 8

// NoLockError says that objects are to be locked in a store that cannot do so.
type NoLockError struct{ Source, Store string }

func (e *NoLockError) Error() string {
	return fmt.Sprintf("open repository of %s: %s cannot lock objects", e.Source, e.Store)
}

// Hint says what helps.
func (e *NoLockError) Hint() string {
	return "make the bucket with object lock (it cannot be switched on everywhere later), or leave lock out"
}

// locker is the store's, where objects are locked; else nil.
func (o *Options) locker(s store.Store) (store.Locker, error) {
	if o.Lock <= 0 || o.Signer == nil {
		return nil, nil
	}
	l, ok := s.(store.Locker)
	if !ok {
		return nil, &NoLockError{Source: o.Source, Store: s.String()}
	}
	return l, nil
}

// protect forbids to delete objects for the time that Options.Lock says. It comes before they are listed, so that what is
// listed is locked. A call that failed may be repeated.
func (r *Repository) protect(ctx context.Context, names ...string) error {
	if r.locker == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(locksAtOnce)
	for _, name := range names {
		g.Go(func() error { return r.lock(ctx, r.object(name)) })
	}
	return g.Wait()
}

// lock locks one object, given by its name in the store.
func (r *Repository) lock(ctx context.Context, object string) error {
	until := r.o.Now().Add(r.o.Lock)
	err := r.locker.Lock(ctx, object, until)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	// It may be locked for longer: the time was longer then, or the clock goes back.
	stands, readErr := r.locker.LockedUntil(ctx, object)
	if readErr != nil || stands.Before(until.Truncate(time.Second)) {
		return err
	}
	return nil
}
