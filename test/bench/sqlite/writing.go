package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/backstaydb/backstay/test/bench/measure"
	"github.com/backstaydb/backstay/test/bench/sqlite/shop"
)

// writing is the application at work: the writer's process and its ledger.
type writing struct {
	p      *measure.Process
	ledger string
}

// work says how the writer goes about it; see its flags.
type work struct {
	rate     float64
	duration time.Duration
	commits  int64
}

// write starts the writer on a database.
func (b *bench) write(ctx context.Context, db string, w work) (*writing, error) {
	dir, err := b.folder("ledger")
	if err != nil {
		return nil, err
	}
	ledger := filepath.Join(dir, "ledger")
	p, err := b.start(ctx, dir, nil, b.program("writer"), "-db", db, "-ledger", ledger, "-rate", strconv.FormatFloat(w.rate, 'f', -1, 64),
		"-duration", w.duration.String(), "-commits", strconv.FormatInt(w.commits, 10))
	if err != nil {
		return nil, err
	}
	return &writing{p: p, ledger: ledger}, nil
}

// wait returns what was sold when the writer has ended by itself.
func (w *writing) wait() ([]shop.Sale, error) {
	if _, err := w.p.Wait(); err != nil {
		return nil, err
	}
	return w.sales()
}

// stop ends the writer and returns what was sold.
func (w *writing) stop() ([]shop.Sale, error) {
	if _, err := w.p.Stop(); err != nil {
		return nil, err
	}
	return w.sales()
}

func (w *writing) sales() ([]shop.Sale, error) {
	s, err := shop.ReadLedger(w.ledger)
	if err == nil && len(s) == 0 {
		err = errors.New("the writer made no commit")
	}
	return s, err
}

// latencies are how long each commit took, from BEGIN to the acknowledged COMMIT, of those begun in [from, to).
func latencies(sales []shop.Sale, from, to time.Time) distribution {
	var d []time.Duration
	for _, s := range sales {
		if !s.Begun.Before(from) && s.Begun.Before(to) {
			d = append(d, s.Done.Sub(s.Begun))
		}
	}
	return newDistribution(d)
}

// rate is how many commits a second were made.
func rate(sales []shop.Sale) string {
	took := sales[len(sales)-1].Done.Sub(sales[0].Begun)
	return fmt.Sprintf("%.0f/s", float64(len(sales))/max(took.Seconds(), 0.001))
}
