package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/test/bench/sqlite/shop"
)

// simulated is the rate of the hour that is simulated: -commits at this rate. Both systems are fed faster than that,
// through their real capture, and Litestream's intervals are shortened by the same factor, so that its replica has
// the files, levels and compactions that it would have after that hour.
const simulated = 500

// restores are the turns of one way to restore.
type restores struct {
	name  string
	wall  []time.Duration
	cpu   []time.Duration
	peak  int64
	stand int64 // bytes in the store
}

// runRestore feeds the same commits to both systems, then restores the newest state from each in turn.
func runRestore(ctx context.Context, b *bench) error {
	if b.rate == 0 {
		return errors.New("restore needs a -rate above zero: Litestream's intervals are scaled by it")
	}
	pristine, err := b.pristine(ctx)
	if err != nil {
		return err
	}
	ours, err := b.fedOurs(ctx, pristine)
	if err != nil {
		return err
	}
	peer, err := b.fedLitestream(ctx, pristine)
	if err != nil {
		return err
	}
	results := []*restores{{name: "backstay"}, {name: "Litestream"}, {name: "Litestream, full integrity check"}}
	for round := range b.rounds {
		for _, r := range results {
			if err := b.restoreTurn(ctx, r, ours, peer); err != nil {
				return err
			}
			b.note("round %d: %s: %s", round+1, r.name, short(r.wall[round]))
		}
	}
	return b.printRestores(results, ours, peer)
}

func (b *bench) fedOurs(ctx context.Context, pristine string) (*ours, error) {
	db, err := b.copyDatabase(pristine)
	if err != nil {
		return nil, err
	}
	store, err := b.folderStore()
	if err != nil {
		return nil, err
	}
	o, err := newOurs(b, db, store)
	if err != nil {
		return nil, err
	}
	return o, b.feed(ctx, o, db)
}

func (b *bench) fedLitestream(ctx context.Context, pristine string) (*litestream, error) {
	db, err := b.copyDatabase(pristine)
	if err != nil {
		return nil, err
	}
	store, err := b.folderStore()
	if err != nil {
		return nil, err
	}
	l := newLitestream(b, db, store)
	l.speed = max(b.rate/simulated, 1)
	return l, b.feed(ctx, l, db)
}

// feed protects the database, commits, waits until all is in the store, and ends the daemon.
func (b *bench) feed(ctx context.Context, s system, db string) error {
	if err := s.protect(ctx); err != nil {
		return err
	}
	began := time.Now()
	w, err := b.write(ctx, db, work{rate: b.rate, commits: b.commits})
	if err != nil {
		return err
	}
	sales, err := w.wait()
	if err != nil {
		return err
	}
	fed := time.Since(began)
	if err := drained(ctx, s, sales[len(sales)-1].Beat, 10*time.Minute); err != nil {
		return err
	}
	u, err := s.process().stop()
	b.note("%s: fed %d commits in %s (%s), in the store %s later; CPU %s, peak memory %s", s, len(sales), short(fed), rate(sales),
		short(time.Since(began)-fed), short(u.CPU), formatBytes(u.Peak))
	return err
}

// restoreTurn restores once and compares the database that came back with what was committed.
func (b *bench) restoreTurn(ctx context.Context, r *restores, o *ours, l *litestream) (err error) {
	dir, err := b.folder("restored")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var s system = o
	if r.name != "backstay" {
		l.check = "none"
		if r.name != "Litestream" {
			l.check = "full"
		}
		s = l
	}
	path, u, err := s.restore(ctx, dir)
	if err != nil {
		return err
	}
	r.wall, r.cpu, r.peak = append(r.wall, u.Wall), append(r.cpu, u.CPU), max(r.peak, u.Peak)
	got, err := shop.Beat(ctx, path)
	if err == nil && got != uint64(b.commits) {
		err = fmt.Errorf("%s restored %d commits of %d", s, got, b.commits)
	}
	return err
}

func (b *bench) printRestores(results []*restores, o *ours, l *litestream) (err error) {
	t := newTable("", "wall (median)", "each", "CPU", "peak memory", "in the store")
	for _, r := range results {
		folder := l.store.folder
		if r.name == "backstay" {
			folder = o.store.folder
		}
		if r.stand, err = folderSize(folder); err != nil {
			return err
		}
		each := ""
		for _, w := range r.wall {
			each += short(w) + " "
		}
		t.add(r.name, short(median(r.wall)), each, short(median(r.cpu)), formatBytes(r.peak), formatBytes(r.stand))
	}
	t.print(b.out)
	ours := median(results[0].wall)
	b.note("wall: %s of Litestream, %s of Litestream with its full integrity check", ratio(ours, median(results[1].wall)), ratio(ours, median(results[2].wall)))
	b.note("goal: <= 1.0 x wall")
	b.note(`simulated: %d commits are %s at %d/s; Litestream's intervals were divided by %.3g. Backstay keeps every commit and its restore
checks page checksum and integrity always; Litestream keeps merged files and checks on demand.`,
		b.commits, time.Duration(float64(b.commits)/simulated*float64(time.Second)).Round(time.Second), simulated, l.speed)
	for _, level := range []int{0, 1, 2, 3, 9} {
		files, err := filepath.Glob(filepath.Join(l.level(level), "*.ltx"))
		if err != nil {
			return err
		}
		b.note("Litestream's level %d: %d files", level, len(files))
	}
	return nil
}
