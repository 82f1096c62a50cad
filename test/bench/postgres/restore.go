package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// runRestore restores the newest state with each system in turn and compares the tables with the source. pgBackRest lays
// files alone; a server that then replays and is promoted has a row of its own, as Backstay's restore does that too.
func runRestore(ctx context.Context, b *bench) error {
	d, theirs, ours, err := b.pair(ctx)
	if err != nil {
		return err
	}
	if theirs != nil {
		if _, _, err := theirs.base(ctx); err != nil {
			return err
		}
	}
	want, err := d.digest(ctx)
	if err != nil {
		return err
	}
	var repos []string
	if theirs != nil {
		repos = append(repos, theirs.repo)
	}
	if ours != nil {
		repos = append(repos, ours.store)
	}
	for _, state := range b.caches() {
		var all []*turns
		for round := range b.rounds {
			if err := b.setCache(state, repos...); err != nil {
				return err
			}
			if theirs != nil {
				if err := b.restoreTheirs(ctx, &all, theirs, want); err != nil {
					return err
				}
			}
			if ours != nil {
				if err := b.restoreOurs(ctx, &all, ours, want); err != nil {
					return err
				}
			}
			b.note("round %d, %s", round+1, state)
		}
		if err := b.printTurns("restore, page cache "+state, all); err != nil {
			return err
		}
	}
	b.note("goals: wall <= 0.7 x, CPU <= 0.5 x of pgBackRest")
	return nil
}

func (b *bench) restoreTheirs(ctx context.Context, all *[]*turns, p *pgBackRest, want string) (err error) {
	dir, err := b.folder("restored")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	u, err := p.restore(ctx, dir)
	if err != nil {
		return err
	}
	// What it wrote into postgresql.auto.conf makes the server fetch the log and recover.
	recovered, err := b.opens(ctx, dir, want)
	if err != nil {
		return err
	}
	turnsOf(all, "pgBackRest").add(u, 0)
	turnsOf(all, "pgBackRest, then a server").add(measure.Usage{Wall: u.Wall + recovered}, 0)
	return nil
}

func (b *bench) restoreOurs(ctx context.Context, all *[]*turns, o *backstay, want string) (err error) {
	dir, err := b.folder("restored")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	u, err := o.restore(ctx, dir, "latest")
	if err != nil {
		return err
	}
	turnsOf(all, "backstay").add(u, 0)
	_, err = b.opens(ctx, dir, want)
	return err
}

// opens starts a server on restored data, compares the tables, and gives the time until the server was ready.
func (b *bench) opens(ctx context.Context, dir, want string) (time.Duration, error) {
	began := time.Now()
	d, err := b.serve(ctx, dir, nil)
	if err != nil {
		return 0, err
	}
	ready := time.Since(began)
	got, err := d.digest(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("restored tables sum up to %s, want %s", got, want)
	}
	return ready, errors.Join(err, d.stop(ctx))
}
