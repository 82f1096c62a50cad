package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/test/bench/measure"
)

const source = "bench"

// backstay is ours: a source with one store in a folder.
type backstay struct {
	b     *bench
	dir   string // where backstay.yaml, the key and its state lie
	store string
	p     *measure.Process
}

func newBackstay(b *bench) (*backstay, error) {
	dir, err := b.folder("backstay")
	if err != nil {
		return nil, err
	}
	store, err := b.folder("store")
	return &backstay{b: b, dir: dir, store: store}, err
}

func (o *backstay) String() string { return "backstay" }

func (o *backstay) run(arguments ...string) (measure.Usage, error) {
	return o.b.run(o.dir, o.b.backstay, arguments...)
}

// protect sets the source up and returns when a first base and its checkpoint stand; it goes on following.
func (o *backstay) protect(ctx context.Context, d *database) (err error) {
	o.p, err = o.b.start(o.dir, o.b.backstay, "protect", d.url(), "--name", source, "--store", o.store)
	if err != nil {
		return err
	}
	return o.until(ctx, func() (bool, error) {
		bases, err := filepath.Glob(filepath.Join(o.store, source, "base", "*", "manifest"))
		return len(bases) > 0, err
	})
}

// until polls until ready, the end of the process, or the end of ctx.
func (o *backstay) until(ctx context.Context, ready func() (bool, error)) error {
	for {
		if ok, err := ready(); err != nil || ok {
			return err
		}
		if err := o.p.Alive(); err != nil {
			return err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// base takes a full one and gives the size of what it stored.
func (o *backstay) base(context.Context) (u measure.Usage, size int64, err error) {
	before, err := measure.FolderSize(o.store)
	if err != nil {
		return u, 0, err
	}
	if u, err = o.run("backup", source); err != nil {
		return u, 0, err
	}
	after, err := measure.FolderSize(o.store)
	return u, after - before, err
}

// restore brings the newest state into dir: replayed by a server, promoted and stopped.
func (o *backstay) restore(_ context.Context, dir, to string) (measure.Usage, error) {
	return o.run("restore", source, "--to", to, "--into", dir, "--store", o.store, "--key", filepath.Join(o.dir, "backstay.key"))
}

// pause waits, or returns the error of ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
