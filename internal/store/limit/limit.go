// Package limit bounds how much of a store, and of the line to it, is used at once.
//
// Reads and writes have separate bounds, so that a Put whose reader itself reads from the store always gets on.
// Listings and a reader once opened hold no place: what waits in them is the caller.
package limit

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/backstaydb/backstay/internal/store"
)

// Config holds the bounds; zero means none.
type Config struct {
	Reads    int   // Open and Stat calls at once
	Writes   int   // Put, Delete and Lock calls at once
	Upload   int64 // bytes/s, averaged over a second
	Download int64 // bytes/s, averaged over a second

	// Hurried is up to how many bytes an object of known size waits for nobody when it is put; what is larger waits for it later.
	Hurried int64
}

// New returns s within the bounds, with the extras that s has. Of a Filer, writing counts as upload; what is read by
// way of Path is out of sight.
func New(s store.Store, c Config) store.Store { return NewLine(c).Wrap(s) }

// Line holds bounds that several stores share: they hold for all of them together. It is safe for concurrent use.
type Line struct {
	reads, writes places
	up, down      *bucket
	hurried       int64
}

// NewLine returns a line with the bounds.
func NewLine(c Config) *Line {
	return &Line{reads: newPlaces(c.Reads), writes: newPlaces(c.Writes), up: newBucket(c.Upload), down: newBucket(c.Download), hurried: c.Hurried}
}

// SetRates changes how many bytes flow in a second, from the next piece on; zero means no bound.
func (l *Line) SetRates(upload, download int64) {
	l.up.rate.Store(upload)
	l.down.rate.Store(download)
}

// Wrap returns s within the bounds of the line, with the extras that s has.
func (l *Line) Wrap(s store.Store) store.Store {
	w := wrapper{Store: s, line: l}
	var lock store.Locker
	if inner, ok := s.(store.Locker); ok {
		lock = locker{inner, w}
	}
	var f store.Filer
	if inner, ok := s.(store.Filer); ok {
		f = filer{inner, w}
	}
	return store.With(w, lock, f)
}

type wrapper struct {
	store.Store
	line *Line
}

func (w wrapper) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	return w.line.writes.hold(ctx, "put", name, func() error {
		if size >= 0 && size <= w.line.hurried {
			w.line.up.owe(int(size))
			return w.Store.Put(ctx, name, r, size)
		}
		return w.Store.Put(ctx, name, w.line.up.meter(ctx, r), size)
	})
}

func (w wrapper) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	err = w.line.reads.hold(ctx, "open", name, func() error {
		r, err = w.Store.Open(ctx, name, offset, length)
		return err
	})
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{w.line.down.meter(ctx, r), r}, nil
}

func (w wrapper) Stat(ctx context.Context, name string) (o store.Object, err error) {
	err = w.line.reads.hold(ctx, "stat", name, func() error {
		o, err = w.Store.Stat(ctx, name)
		return err
	})
	return o, err
}

func (w wrapper) Delete(ctx context.Context, name string) error {
	return w.line.writes.hold(ctx, "delete", name, func() error { return w.Store.Delete(ctx, name) })
}

type locker struct {
	inner store.Locker
	w     wrapper
}

func (l locker) Lock(ctx context.Context, name string, until time.Time) error {
	return l.w.line.writes.hold(ctx, "lock", name, func() error { return l.inner.Lock(ctx, name, until) })
}

func (l locker) LockedUntil(ctx context.Context, name string) (until time.Time, err error) {
	err = l.w.line.reads.hold(ctx, "read lock of", name, func() error {
		until, err = l.inner.LockedUntil(ctx, name)
		return err
	})
	return until, err
}

type filer struct {
	inner store.Filer
	w     wrapper
}

func (f filer) Path(name string) (string, error) { return f.inner.Path(name) }

func (f filer) Create(ctx context.Context, name string) (store.File, error) {
	made, err := f.inner.Create(ctx, name)
	if err != nil {
		return nil, err
	}
	return file{made, ctx, f.w.line.up}, nil
}

type file struct {
	store.File
	ctx context.Context // of the Create, for writes, which have none of their own
	up  *bucket
}

func (f file) Write(p []byte) (int, error) {
	if err := f.up.take(f.ctx, len(p)); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

// places bounds calls at once; nil is no bound.
type places chan struct{}

func newPlaces(n int) places {
	if n <= 0 {
		return nil
	}
	return make(places, n)
}

// hold makes the call once there is a place.
func (p places) hold(ctx context.Context, op, name string, call func() error) error {
	if p == nil {
		return call()
	}
	select {
	case p <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%s %s: wait for a place: %w", op, name, context.Cause(ctx))
	}
	defer func() { <-p }()
	return call()
}
