// Package fault makes a store fail on purpose. What fails is a value, a Plan of Rules, which also counts calls, so that
// a test can fail the 1st, the 2nd … the nth call until none is left to fail:
//
//	for n := 1; ; n++ {
//		plan := fault.NewPlan(fault.Rule{Nth: n, Effect: fault.Fail(nil)})
//		… work on fault.Wrap(s, plan), clear the plan, resume, compare …
//		if plan.Fired() == 0 { break }
//	}
//
// Objects read by way of Filer.Path are out of its sight.
package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/backstaydb/backstay/internal/store"
)

// Wrap returns s as plan lets it be seen, with the extras that s has.
func Wrap(s store.Store, plan *Plan) store.Store {
	w := wrapper{s, plan}
	var l store.Locker
	if inner, ok := s.(store.Locker); ok {
		l = locker{inner, plan}
	}
	var f store.Filer
	if inner, ok := s.(store.Filer); ok {
		f = filer{inner, plan}
	}
	return store.With(w, l, f)
}

type wrapper struct {
	store.Store
	plan *Plan
}

func (w wrapper) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	e := w.plan.next(Put, name)
	switch e.kind {
	case cut:
		err := w.Store.Put(ctx, name, io.MultiReader(io.LimitReader(r, e.n), broken{e.cause()}), size)
		// To the caller it is the store that failed, not the reader.
		if err == nil || errors.Is(err, e.cause()) {
			return failed(Put, name, e.cause())
		}
		return err
	case truncate:
		return w.Store.Put(ctx, name, io.LimitReader(r, e.n), -1)
	case flip:
		return w.Store.Put(ctx, name, &flipper{r: r, at: e.n}, size)
	case lose:
		_, err := io.Copy(io.Discard, store.Input(ctx, r, size))
		return failed(Put, name, err)
	}
	return failed(Put, name, e.around(ctx, func() error { return w.Store.Put(ctx, name, r, size) }))
}

func (w wrapper) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	e := w.plan.next(Open, name)
	open := func() error {
		r, err = w.Store.Open(ctx, name, offset, length)
		return err
	}
	switch e.kind {
	case cut, truncate, flip:
		if err := open(); err != nil {
			return nil, err
		}
		return reader{e.disturb(r), r}, nil
	case failAfter, lose:
		e.kind = fail
	}
	if err := e.around(ctx, open); err != nil {
		return nil, failed(Open, name, err)
	}
	return r, nil
}

type reader struct {
	io.Reader
	io.Closer
}

func (e Effect) disturb(r io.Reader) io.Reader {
	switch e.kind {
	case cut:
		return io.MultiReader(io.LimitReader(r, e.n), broken{io.ErrUnexpectedEOF})
	case truncate:
		return io.LimitReader(r, e.n)
	}
	return &flipper{r: r, at: e.n}
}

func (w wrapper) Stat(ctx context.Context, name string) (o store.Object, err error) {
	err = w.plan.next(Stat, name).around(ctx, func() error {
		o, err = w.Store.Stat(ctx, name)
		return err
	})
	return o, failed(Stat, name, err)
}

func (w wrapper) List(ctx context.Context, prefix string, visit func(store.Object) error) error {
	e := w.plan.next(List, prefix)
	if e.kind != cut && e.kind != truncate {
		return failed(List, prefix, e.around(ctx, func() error { return w.Store.List(ctx, prefix, visit) }))
	}
	enough, seen := errors.New("enough"), int64(0)
	err := w.Store.List(ctx, prefix, func(o store.Object) error {
		if seen++; seen > e.n {
			return enough
		}
		return visit(o)
	})
	switch {
	case err != nil && err != enough:
		return err
	case e.kind == cut:
		return failed(List, prefix, e.cause())
	}
	return nil
}

func (w wrapper) Delete(ctx context.Context, name string) error {
	return failed(Delete, name, w.plan.next(Delete, name).around(ctx, func() error { return w.Store.Delete(ctx, name) }))
}

type locker struct {
	inner store.Locker
	plan  *Plan
}

func (l locker) Lock(ctx context.Context, name string, until time.Time) error {
	return failed(Lock, name, l.plan.next(Lock, name).around(ctx, func() error { return l.inner.Lock(ctx, name, until) }))
}

func (l locker) LockedUntil(ctx context.Context, name string) (until time.Time, err error) {
	err = l.plan.next(LockedUntil, name).around(ctx, func() error {
		until, err = l.inner.LockedUntil(ctx, name)
		return err
	})
	return until, failed(LockedUntil, name, err)
}

// failed names the call in an injected error; all others name it themselves.
func failed(op Op, name string, err error) error {
	if errors.Is(err, ErrInjected) {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	return err
}
