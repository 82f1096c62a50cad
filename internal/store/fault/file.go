package fault

import (
	"context"
	"io"

	"github.com/backstaydb/backstay/internal/store"
)

type filer struct {
	inner store.Filer
	plan  *Plan
}

func (f filer) Path(name string) (string, error) { return f.inner.Path(name) }

func (f filer) Create(ctx context.Context, name string) (made store.File, err error) {
	e := f.plan.next(Create, name)
	if e.kind == lose || e.kind == failAfter {
		e.kind = fail
	}
	err = e.around(ctx, func() error {
		made, err = f.inner.Create(ctx, name)
		return err
	})
	if err != nil {
		return nil, failed(Create, name, err)
	}
	return &file{File: made, ctx: ctx, name: name, plan: f.plan}, nil
}

type file struct {
	store.File
	ctx  context.Context // of the Create, for writes, which have none of their own
	name string
	plan *Plan
}

func (f *file) Write(p []byte) (n int, err error) {
	err = f.plan.next(Write, f.name).around(f.ctx, func() error {
		n, err = f.File.Write(p)
		return err
	})
	if err == nil {
		n = len(p)
	}
	return n, failed(Write, f.name, err)
}

func (f *file) Commit(ctx context.Context) error {
	e := f.plan.next(Commit, f.name)
	if e.kind == lose {
		return f.Abort()
	}
	return failed(Commit, f.name, e.around(ctx, func() error { return f.File.Commit(ctx) }))
}

// broken is a reader that only fails.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// flipper turns one bit of what r gives.
type flipper struct {
	r  io.Reader
	at int64 // bytes until the one to turn
}

func (f *flipper) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if f.at >= 0 && f.at < int64(n) {
		p[f.at] ^= 1
	}
	f.at -= int64(n)
	return n, err
}
