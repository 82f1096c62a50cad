package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/test/bench/sqlite/shop"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// simulated is the rate of the hour that is simulated: -commits at this rate. Both systems are fed faster than that,
// through their real capture, and Litestream's intervals are shortened by the same factor, so that its replica has
// the files, levels and compactions that it would have after that hour.
const simulated = 500

// restores are the turns of one way to restore.
type restores struct {
	name  string
	from  system
	check string // Litestream's, after the restore
	wall  []time.Duration
	cpu   []time.Duration
	peak  int64
}

// runRestore feeds the same commits to both systems, then restores the newest state from each in turn.
func runRestore(ctx context.Context, b *bench) error {
	if b.rate == 0 || b.commits == 0 {
		return errors.New("restore needs -rate and -commits above zero: Litestream's intervals are scaled by the rate")
	}
	pristine, err := b.pristine(ctx)
	if err != nil {
		return err
	}
	var results []*restores
	for _, name := range []string{"backstay", "Litestream"} {
		if !b.wants(name) {
			continue
		}
		s, err := b.fed(ctx, name, pristine)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		results = append(results, &restores{name: name, from: s, check: "none"})
		if name == "Litestream" {
			results = append(results, &restores{name: "Litestream, full integrity check", from: s, check: "full"})
		}
	}
	for round := range b.rounds {
		for _, r := range results {
			if err := b.restoreTurn(ctx, r); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			b.note("round %d: %s: %s", round+1, r.name, measure.Short(r.wall[round]))
		}
	}
	return b.printRestores(results)
}

// fed makes a system with its own copy of the database and its own folder, and feeds it.
func (b *bench) fed(ctx context.Context, name, pristine string) (system, error) {
	db, err := b.copyDatabase(pristine)
	if err != nil {
		return nil, err
	}
	store, err := b.folderStore()
	if err != nil {
		return nil, err
	}
	s, err := b.newSystem(name, db, store)
	if err != nil {
		return nil, err
	}
	if l, ok := s.(*litestream); ok {
		l.speed = max(b.rate/simulated, 1)
	}
	return s, b.feed(ctx, s, db)
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
	u, err := s.process().Stop()
	b.note("%s: fed %d commits in %s (%s), in the store %s later; CPU %s, peak memory %s", s, len(sales), measure.Short(fed), rate(sales),
		measure.Short(time.Since(began)-fed), measure.Short(u.CPU()), measure.Size(u.Peak))
	return err
}

// restoreTurn restores once and compares the database that came back with what was committed.
func (b *bench) restoreTurn(ctx context.Context, r *restores) (err error) {
	dir, err := b.folder("restored")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if l, ok := r.from.(*litestream); ok {
		l.check = r.check
	}
	path, u, err := r.from.restore(ctx, dir)
	if err != nil {
		return err
	}
	r.wall, r.cpu, r.peak = append(r.wall, u.Wall), append(r.cpu, u.CPU()), max(r.peak, u.Peak)
	got, err := shop.Beat(ctx, path)
	if err == nil && got != uint64(b.commits) {
		err = fmt.Errorf("restored %d commits of %d", got, b.commits)
	}
	return err
}

func (b *bench) printRestores(results []*restores) error {
	t := measure.NewTable("", "wall (median)", "each", "CPU", "peak memory", "in the store")
	walls := map[string]time.Duration{}
	for _, r := range results {
		size, err := measure.FolderSize(r.from.at().folder)
		if err != nil {
			return err
		}
		each := ""
		for _, w := range r.wall {
			each += measure.Short(w) + " "
		}
		walls[r.name] = measure.MedianTime(r.wall)
		t.Add(r.name, measure.Short(measure.MedianTime(r.wall)), each, measure.Short(measure.MedianTime(r.cpu)), measure.Size(r.peak), measure.Size(size))
	}
	if err := t.Print(b.out); err != nil {
		return err
	}
	b.note("wall: %s of Litestream, %s of Litestream with its full integrity check", measure.Ratio(walls["backstay"], walls["Litestream"]),
		measure.Ratio(walls["backstay"], walls["Litestream, full integrity check"]))
	b.note("goal: <= 1.0 x wall")
	b.note(`simulated: %d commits are %s at %d/s, fed at %.3g times that. Backstay keeps every commit, and its restore compares
the checksum of all pages always; Litestream keeps merged files and checks on demand.`,
		b.commits, time.Duration(float64(b.commits)/simulated*float64(time.Second)).Round(time.Second), simulated, b.rate/simulated)
	for _, r := range results {
		if l, ok := r.from.(*litestream); ok && r.check == "none" {
			return b.noteLevels(l)
		}
	}
	return nil
}

// noteLevels says which files Litestream's replica has, so that it can be seen that its compactions took place.
func (b *bench) noteLevels(l *litestream) error {
	text := "Litestream's replica:"
	for _, level := range []int{0, 1, 2, 3, 9} {
		files, err := filepath.Glob(filepath.Join(l.level(level), "*.ltx"))
		if err != nil {
			return err
		}
		text += fmt.Sprintf(" level %d: %d files;", level, len(files))
	}
	b.note("%s", text)
	return nil
}
