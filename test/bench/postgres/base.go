package main

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// turns are what one system did in all rounds.
type turns struct {
	name  string
	usage []measure.Usage
	sizes []int64
}

func (t *turns) add(u measure.Usage, size int64) {
	t.usage, t.sizes = append(t.usage, u), append(t.sizes, size)
}

// figures are the medians of one system.
type figures struct {
	wall, cpu, user time.Duration
	peak, size      int64
}

func (t *turns) figures() (f figures) {
	var wall, cpu, user []time.Duration
	for _, u := range t.usage {
		wall, cpu, user, f.peak = append(wall, u.Wall), append(cpu, u.CPU()), append(user, u.User), max(f.peak, u.Peak)
	}
	f.wall, f.cpu, f.user, f.size = measure.MedianTime(wall), measure.MedianTime(cpu), measure.MedianTime(user), measure.MedianSize(t.sizes)
	return f
}

// runBase takes full bases with each system in turn, every second round in the other order.
func runBase(ctx context.Context, b *bench) error {
	d, theirs, ours, err := b.pair(ctx)
	if err != nil {
		return err
	}
	for _, state := range b.caches() {
		var all []*turns
		for round := range b.rounds {
			order := []func() error{}
			if theirs != nil {
				order = append(order, func() error { return b.baseTurn(ctx, &all, theirs, state, d.dir, round) })
			}
			if ours != nil {
				order = append(order, func() error { return b.baseTurn(ctx, &all, ours, state, d.dir, round) })
			}
			for i := range order {
				if round%2 == 1 {
					i = len(order) - 1 - i
				}
				if err := order[i](); err != nil {
					return err
				}
			}
		}
		if err := b.printTurns("full base, page cache "+state, all); err != nil {
			return err
		}
	}
	b.note("goals: CPU <= 0.65 x warm, <= 0.55 x cold; wall <= 0.65 x; size <= 1.03 x; peak memory <= 200 MB")
	return nil
}

// pair fills a database and sets both systems up; one that is not wanted is nil.
func (b *bench) pair(ctx context.Context) (d *database, theirs *pgBackRest, ours *backstay, err error) {
	extra := map[string]string{}
	if b.wants("pgBackRest") {
		if theirs, err = newPgBackRest(b); err != nil {
			return nil, nil, nil, err
		}
		extra["archive_mode"], extra["archive_command"] = "on", theirs.archiveCommand()
	}
	if d, err = b.filled(ctx, extra); err != nil {
		return nil, nil, nil, err
	}
	size, err := measure.FolderSize(d.dir)
	if err != nil {
		return nil, nil, nil, err
	}
	b.note("database: %s", measure.Size(size))
	if theirs != nil {
		if err := theirs.configure(d); err != nil {
			return nil, nil, nil, err
		}
	}
	if b.wants("backstay") {
		if ours, err = newBackstay(b); err != nil {
			return nil, nil, nil, err
		}
		if err := ours.protect(ctx, d); err != nil {
			return nil, nil, nil, err
		}
		if _, err := ours.p.Stop(); err != nil {
			return nil, nil, nil, err
		}
	}
	return d, theirs, ours, nil
}

// taker is a system that takes bases.
type taker interface {
	fmt.Stringer
	base(ctx context.Context) (measure.Usage, int64, error)
}

func (b *bench) baseTurn(ctx context.Context, all *[]*turns, s taker, state, dir string, round int) error {
	if err := b.setCache(state, dir); err != nil {
		return err
	}
	u, size, err := s.base(ctx)
	if err != nil {
		return err
	}
	b.note("round %d, %s: %s: %s wall, %s user, %s system, %s", round+1, state, s, measure.Short(u.Wall), measure.Short(u.User), measure.Short(u.System), measure.Size(size))
	turnsOf(all, s.String()).add(u, size)
	return nil
}

func turnsOf(all *[]*turns, name string) *turns {
	for _, t := range *all {
		if t.name == name {
			return t
		}
	}
	t := &turns{name: name}
	*all = append(*all, t)
	return t
}

// printTurns prints the medians, and the ratios of backstay to each of the others.
func (b *bench) printTurns(title string, all []*turns) error {
	t := measure.NewTable(title, "wall", "user+sys CPU", "user", "peak memory", "size")
	for _, s := range all {
		f := s.figures()
		t.Add(s.name, measure.Short(f.wall), measure.Short(f.cpu), measure.Short(f.user), measure.Size(f.peak), measure.Size(f.size))
	}
	for _, s := range all {
		if s.name == "backstay" {
			continue
		}
		for _, o := range all {
			if o.name == "backstay" {
				f, g := o.figures(), s.figures()
				t.Add("backstay / "+s.name, measure.Ratio(f.wall, g.wall), measure.Ratio(f.cpu, g.cpu), measure.Ratio(f.user, g.user), measure.Ratio(f.peak, g.peak), measure.Ratio(f.size, g.size))
			}
		}
	}
	return t.Print(b.out)
}
