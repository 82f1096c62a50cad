package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/test/bench/sqlite/shop"

	"github.com/backstaydb/backstay/test/bench/measure"
)

const calm = 5 * time.Second // between two measurements, for the disk and the WAL to settle

// stretch is one measurement: what ran from when to when.
type stretch struct {
	name     string
	from, to time.Time
	usage    measure.Usage
	synced   time.Duration // what it took afterwards to make the copy durable
	bytes    int64         // of the copy
}

// runBase lets one writer commit at a steady rate throughout. In turn it measures the writer alone, VACUUM INTO, and
// `backstay backup` of the same database into a folder.
func runBase(ctx context.Context, b *bench) error {
	vacuum, err := b.findVacuum()
	if err != nil {
		return err
	}
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
	if err := o.protect(ctx); err != nil {
		return err
	}
	if _, err := o.p.Stop(); err != nil {
		return err
	}
	w, err := b.write(ctx, db, work{rate: b.rate})
	if err != nil {
		return err
	}
	stretches, err := b.baseRounds(ctx, w, o, vacuum)
	if err != nil {
		return err
	}
	sales, err := w.stop()
	if err != nil {
		return err
	}
	b.note("writer: %d commits, %s", len(sales), rate(sales))
	return b.printBase(stretches, sales)
}

func (b *bench) baseRounds(ctx context.Context, w *writing, o *ours, vacuum string) ([]stretch, error) {
	var all []stretch
	for round := range b.rounds {
		turns := []func() (stretch, error){
			func() (stretch, error) { return b.vacuumTurn(ctx, vacuum, o.db) },
			func() (stretch, error) { return baseTurn(ctx, o) },
		}
		if round%2 == 1 {
			turns[0], turns[1] = turns[1], turns[0]
		}
		turns = append(turns, func() (stretch, error) { return b.aloneTurn(ctx) })
		for _, turn := range turns {
			if err := errors.Join(pause(ctx, calm), w.p.Alive()); err != nil {
				return nil, err
			}
			s, err := turn()
			if err != nil {
				return nil, err
			}
			all = append(all, s)
			b.note("round %d: %s: %s", round+1, s.name, measure.Short(s.to.Sub(s.from)))
		}
	}
	return all, nil
}

// vacuumTurn runs the sqlite3 program. What it wrote is synced afterwards, and that is counted apart: versions of
// SQLite differ in whether they do so themselves.
func (b *bench) vacuumTurn(ctx context.Context, program, db string) (s stretch, err error) {
	dir, err := b.folder("vacuum")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	into := filepath.Join(dir, "copy.db")
	s.name, s.from = "VACUUM INTO", time.Now()
	s.usage, err = b.run(ctx, dir, nil, program, "-cmd", ".timeout 60000", db, "VACUUM INTO '"+into+"'")
	if err != nil {
		return s, err
	}
	s.to = time.Now()
	f, err := os.OpenFile(into, os.O_RDWR, 0)
	if err != nil {
		return s, err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return s, err
	}
	s.synced = time.Since(s.to)
	info, err := f.Stat()
	s.bytes = info.Size()
	return s, err
}

// baseTurn is `backstay backup`, alone, from start to end of its process: encrypted, compressed, indexed, signed and
// synced.
func baseTurn(ctx context.Context, o *ours) (s stretch, err error) {
	before, err := measure.FolderSize(o.store.folder)
	if err != nil {
		return s, err
	}
	s.name, s.from = "backstay backup", time.Now()
	if s.usage, err = o.command(ctx, "backup", source); err != nil {
		return s, err
	}
	s.to = time.Now()
	after, err := measure.FolderSize(o.store.folder)
	s.bytes = after - before
	return s, err
}

// aloneTurn measures the writer with nothing beside it.
func (b *bench) aloneTurn(ctx context.Context) (stretch, error) {
	s := stretch{name: "writer alone", from: time.Now()}
	err := pause(ctx, max(b.duration, 10*time.Second))
	s.to = time.Now()
	return s, err
}

func (b *bench) printBase(all []stretch, sales []shop.Sale) error {
	t := measure.NewTable("", "wall (median)", "each", "CPU", "peak memory", "copy", "commit p50", "p99", "max", "commits")
	walls := map[string]time.Duration{}
	p99 := map[string]time.Duration{}
	var synced []time.Duration
	for _, name := range []string{"writer alone", "VACUUM INTO", "backstay backup"} {
		var wall, cpu, commit []time.Duration
		var peak, size int64
		each := ""
		for _, s := range all {
			if s.name != name {
				continue
			}
			commit = append(commit, latencies(sales, s.from, s.to)...)
			if s.usage.Wall == 0 {
				continue
			}
			wall, cpu, peak, size = append(wall, s.usage.Wall), append(cpu, s.usage.CPU()), max(peak, s.usage.Peak), s.bytes
			each += measure.Short(s.usage.Wall) + " "
			if s.synced > 0 {
				synced = append(synced, s.synced)
			}
		}
		d := newDistribution(commit)
		walls[name], p99[name] = measure.MedianTime(wall), d.at(0.99)
		t.Add(name, measure.Short(measure.MedianTime(wall)), each, measure.Short(measure.MedianTime(cpu)), measure.Size(peak), measure.Size(size), measure.Short(d.at(0.5)), measure.Short(d.at(0.99)), measure.Short(d.max()), fmt.Sprint(len(d)))
	}
	if err := t.Print(b.out); err != nil {
		return err
	}
	ours, theirs := "backstay backup", "VACUUM INTO"
	b.note("wall: %s of VACUUM INTO; %s of VACUUM INTO and fsync of its file (another %s)", measure.Ratio(walls[ours], walls[theirs]),
		measure.Ratio(walls[ours], walls[theirs]+measure.MedianTime(synced)), measure.Short(measure.MedianTime(synced)))
	b.note("writer's p99 commit latency: %s of that during VACUUM INTO; %s of that alone", measure.Ratio(p99[ours], p99[theirs]), measure.Ratio(p99[ours], p99["writer alone"]))
	b.note("goals: wall <= 1.0 x; p99 no worse than during VACUUM INTO")
	return nil
}

// findVacuum is the sqlite3 program: SQLite in C, which is the faster yardstick.
func (b *bench) findVacuum() (string, error) {
	if b.vacuum != "" {
		return b.vacuum, nil
	}
	path, err := exec.LookPath("sqlite3")
	if err != nil {
		return "", errors.New("no sqlite3 program for VACUUM INTO: install the package sqlite3, or give -vacuum")
	}
	return path, nil
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
