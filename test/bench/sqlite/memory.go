package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// follow is how long protect is watched after its base, with the writer at work.
const follow = 10 * time.Second

// runMemory runs each command once on a large database and prints the peak of its resident set.
func runMemory(ctx context.Context, b *bench) error {
	db, err := b.pristine(ctx)
	if err != nil {
		return err
	}
	store, err := b.folderStore()
	if err != nil {
		return err
	}
	o, err := newOurs(b, db, store)
	if err != nil {
		return err
	}
	t := measure.NewTable("command", "peak memory", "wall", "CPU")
	row := func(name string, u measure.Usage) {
		t.Add(name, measure.Size(u.Peak), measure.Short(u.Wall), measure.Short(u.CPU()))
		b.note("%s: %s", name, measure.Size(u.Peak))
	}
	if err := b.memoryProtect(ctx, o, row); err != nil {
		return err
	}
	for _, args := range [][]string{{"status"}, {"history", source}, {"check", source}, {"check", source, "--deep"}, {"drill", source}} {
		u, err := o.command(ctx, args...)
		if err != nil {
			return err
		}
		name := args[0]
		if args[len(args)-1] == "--deep" {
			name += " --deep"
		}
		row(name, u)
	}
	dir, err := b.folder("restored")
	if err != nil {
		return err
	}
	_, u, err := o.restore(ctx, dir)
	if err != nil {
		return err
	}
	row("restore", u)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := b.memoryPeer(ctx, db, row); err != nil {
		return err
	}
	if err := t.Print(b.out); err != nil {
		return err
	}
	b.note("goal: <= 200 MB for each command of ours. Source: %s; peak memory is VmHWM, which counts mapped files too.", measure.Size(b.size))
	return nil
}

// memoryProtect watches protect while it takes the first base and follows the writer, backup beside the writer, and
// run following it.
func (b *bench) memoryProtect(ctx context.Context, o *ours, row func(string, measure.Usage)) error {
	if err := o.protect(ctx); err != nil {
		return err
	}
	w, err := b.write(ctx, o.db, work{rate: b.rate})
	if err != nil {
		return err
	}
	if err := pause(ctx, follow); err != nil {
		return err
	}
	u, err := o.p.Stop()
	if err != nil {
		return err
	}
	row("protect", u)
	if u, err = o.command(ctx, "backup", source); err != nil {
		return err
	}
	row("backup", u)
	if err := o.daemon(ctx); err != nil {
		return err
	}
	if err := pause(ctx, follow); err != nil {
		return err
	}
	if u, err = o.p.Stop(); err != nil {
		return err
	}
	row("run", u)
	_, err = w.stop()
	return err
}

// memoryPeer gives the same to Litestream, for comparison.
func (b *bench) memoryPeer(ctx context.Context, db string, row func(string, measure.Usage)) error {
	store, err := b.folderStore()
	if err != nil {
		return err
	}
	l := newLitestream(b, db, store)
	if err := l.protect(ctx); err != nil {
		return err
	}
	w, err := b.write(ctx, db, work{rate: b.rate, duration: follow})
	if err != nil {
		return err
	}
	if _, err := w.wait(); err != nil {
		return err
	}
	u, err := l.p.Stop()
	if err != nil {
		return err
	}
	row("(Litestream replicate)", u)
	dir, err := b.folder("restored")
	if err != nil {
		return err
	}
	_, u, err = l.restore(ctx, dir)
	if err != nil {
		return err
	}
	row("(Litestream restore)", u)
	return os.RemoveAll(filepath.Clean(dir))
}
