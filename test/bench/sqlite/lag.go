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

const (
	lookEvery  = 2 * time.Millisecond
	settle     = 2 * time.Second // between the first copy and the first commit
	drainLimit = 2 * time.Minute
)

// lags are what the turns of one system at one store gave, all rounds together.
type lags struct {
	store, system string
	lag           []time.Duration // of each commit: acknowledged → seen in the store
	commit        []time.Duration // BEGIN → acknowledged
	rate          string          // of the last round
}

// runLag lets a writer commit at a steady rate beside each system and measures from outside when each commit
// stands in the store.
func runLag(ctx context.Context, b *bench) error {
	pristine, err := b.pristine(ctx)
	if err != nil {
		return err
	}
	var results []*lags
	for _, store := range []string{"folder", "S3"} {
		for _, name := range []string{"backstay", "Litestream"} {
			if b.wants(store) || b.wants(name) {
				results = append(results, &lags{store: store, system: name})
			}
		}
	}
	for round := range b.rounds {
		for _, r := range results {
			if err := b.lagTurn(ctx, pristine, r); err != nil {
				return fmt.Errorf("%s, %s: %w", r.system, r.store, err)
			}
			b.note("round %d: %s to %s: p99 so far %s", round+1, r.system, r.store, measure.Short(newDistribution(r.lag).at(0.99)))
		}
	}
	return b.printLags(results)
}

// pristine generates the database that every turn starts with a copy of.
func (b *bench) pristine(ctx context.Context) (string, error) {
	dir, err := b.folder("pristine")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "shop.db")
	began := time.Now()
	if err := shop.Create(ctx, path, b.size, 1); err != nil {
		return "", err
	}
	b.note("database: %s of orders, generated in %s", measure.Size(b.size), measure.Short(time.Since(began)))
	return path, nil
}

// lagTurn is one turn of one system: a fresh copy, a fresh store, a first full copy, then the writer.
func (b *bench) lagTurn(ctx context.Context, pristine string, r *lags) (err error) {
	db, err := b.copyDatabase(pristine)
	if err != nil {
		return err
	}
	store, closeStore, err := b.openStore(ctx, r.store)
	if err != nil {
		return err
	}
	s, err := b.newSystem(r.system, db, store)
	if err != nil {
		return errors.Join(err, closeStore())
	}
	sales, sightings, err := b.observe(ctx, s, db)
	if s.process() != nil {
		_, stopped := s.process().Stop()
		err = errors.Join(err, stopped)
	}
	if err = errors.Join(err, closeStore(), os.RemoveAll(filepath.Dir(db)), os.RemoveAll(store.folder)); err != nil {
		return err
	}
	lag, err := lagOf(sales, sightings)
	r.lag = append(r.lag, lag...)
	for _, s := range sales {
		r.commit = append(r.commit, s.Done.Sub(s.Begun))
	}
	r.rate = rate(sales)
	return err
}

// newSystem makes one of the two by name.
func (b *bench) newSystem(name, db string, store place) (system, error) {
	if name == "backstay" {
		return newOurs(b, db, store)
	}
	return newLitestream(b, db, store), nil
}

// openStore makes an empty place; close stops what serves it.
func (b *bench) openStore(ctx context.Context, kind string) (place, func() error, error) {
	if kind == "folder" {
		p, err := b.folderStore()
		return p, func() error { return nil }, err
	}
	server, err := b.startS3(ctx)
	if err != nil {
		return place{}, nil, err
	}
	const prefix = "lag"
	p := place{name: kind, url: server.url(prefix), folder: filepath.Join(server.folder, prefix), env: server.env()}
	return p, func() error { _, err := server.p.Stop(); return err }, nil
}

// observe protects the database, lets the writer work for the given time and notes what is seen in the store when,
// until all of it is there.
func (b *bench) observe(ctx context.Context, s system, db string) ([]shop.Sale, []sighting, error) {
	if err := s.protect(ctx); err != nil {
		return nil, nil, err
	}
	time.Sleep(settle)
	w, err := b.write(ctx, db, work{rate: b.rate, duration: b.duration})
	if err != nil {
		return nil, nil, err
	}
	var sightings []sighting
	var sales []shop.Sale
	for deadline := (time.Time{}); ; time.Sleep(lookEvery) {
		seen, err := s.durable()
		if err = errors.Join(err, s.process().Alive()); err != nil {
			return nil, nil, err
		}
		if n := len(sightings); n == 0 || seen.beat > sightings[n-1].beat {
			sightings = append(sightings, seen)
		}
		select {
		case <-w.p.Done():
		default:
			continue
		}
		if sales == nil {
			if sales, err = w.wait(); err != nil {
				return nil, nil, err
			}
			deadline = time.Now().Add(drainLimit)
		}
		if seen.beat >= sales[len(sales)-1].Beat {
			return sales, sightings, nil
		}
		if time.Now().After(deadline) {
			return nil, nil, fmt.Errorf("%s: %d of %d commits durable %v after the last\n%s", s, seen.beat, sales[len(sales)-1].Beat, drainLimit, s.process().Tail())
		}
	}
}

// lagOf gives for each commit how long after its acknowledgement it was first seen in the store. Both lists rise.
func lagOf(sales []shop.Sale, sightings []sighting) ([]time.Duration, error) {
	lag := make([]time.Duration, 0, len(sales))
	i := 0
	for _, s := range sales {
		for i < len(sightings) && sightings[i].beat < s.Beat {
			i++
		}
		if i == len(sightings) {
			return nil, fmt.Errorf("commit %d was never seen in the store", s.Beat)
		}
		lag = append(lag, sightings[i].at.Sub(s.Done))
	}
	return lag, nil
}

func (b *bench) printLags(results []*lags) error {
	t := measure.NewTable("store", "system", "commits", "rate", "lag p50", "p90", "p99", "max", "commit p50", "p99", "max")
	p99 := map[string]time.Duration{}
	for _, r := range results {
		lag, commit := newDistribution(r.lag), newDistribution(r.commit)
		p99[r.store+r.system] = lag.at(0.99)
		t.Add(r.store, r.system, fmt.Sprint(len(lag)), r.rate, measure.Short(lag.at(0.5)), measure.Short(lag.at(0.9)), measure.Short(lag.at(0.99)), measure.Short(lag.max()),
			measure.Short(commit.at(0.5)), measure.Short(commit.at(0.99)), measure.Short(commit.max()))
	}
	if err := t.Print(b.out); err != nil {
		return err
	}
	for _, store := range []string{"folder", "S3"} {
		ours, theirs := p99[store+"backstay"], p99[store+"Litestream"]
		b.note("%s: p99 lag %s, %s of Litestream's", store, measure.Short(ours), measure.Ratio(ours, theirs))
	}
	b.note("goals: folder p99 < 1 s and <= 0.5 x Litestream's; S3 p99 < 2 s")
	b.note(`lag = from the acknowledged COMMIT to the first sight of it in the store, looked for every %v in the folder (versitygw keeps
objects as files, so S3 is looked at in the same way, without load on the server). Backstay: the object stands and a signed
checkpoint that covers it stands. Litestream: the LTX file of level 0 stands; the counter in its pages says which commits it holds.`, lookEvery)
	return nil
}
