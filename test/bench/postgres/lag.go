package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/test/bench/measure"
)

// sample is how far the server had flushed its log at a time.
type sample struct {
	lsn uint64
	at  time.Time
}

// runLag measures how long a flushed byte of the log takes until it can be restored from the store: until a signed
// checkpoint stands there that covers it, looked for from outside.
func runLag(ctx context.Context, b *bench) error {
	d, err := b.filled(ctx, nil)
	if err != nil {
		return err
	}
	o, err := newBackstay(b)
	if err != nil {
		return err
	}
	if err := o.protect(ctx, d); err != nil {
		return err
	}
	for round := range b.rounds {
		lags, tps, err := b.lagRound(ctx, d, o)
		if err != nil {
			return err
		}
		b.note("round %d: pgbench %.0f/s; durable lag p50 %s, p99 %s, max %s (%d looks)", round+1, tps,
			measure.Short(measure.Quantile(lags, 0.5)), measure.Short(measure.Quantile(lags, 0.99)), measure.Short(measure.Quantile(lags, 1)), len(lags))
	}
	u, err := o.p.Stop()
	b.note("backstay: %s user, %s system, peak memory %s", measure.Short(u.User), measure.Short(u.System), measure.Size(u.Peak))
	b.note("goal: p99 < 1 s")
	return err
}

func (b *bench) lagRound(ctx context.Context, d *database, o *backstay) ([]time.Duration, float64, error) {
	done := make(chan error, 1)
	var tps float64
	go func() {
		var err error
		tps, err = d.pressure(b.seconds, b.clients)
		done <- err
	}()
	var open []sample
	var lags []time.Duration
	w := &watcher{folder: filepath.Join(o.store, source, "ledger", "checkpoint")}
	running := true
	for running || len(open) > 0 {
		select {
		case err := <-done:
			if err != nil {
				return nil, 0, err
			}
			running = false
		default:
		}
		if running {
			s, err := d.flushed(ctx)
			if err != nil {
				return nil, 0, err
			}
			open = append(open, s)
		}
		reach, err := w.look()
		if err != nil {
			return nil, 0, err
		}
		now := time.Now()
		open = slices.DeleteFunc(open, func(s sample) bool {
			in := s.lsn <= reach
			if in {
				lags = append(lags, now.Sub(s.at))
			}
			return in
		})
		if err := errors.Join(pause(ctx, 10*time.Millisecond), o.p.Alive()); err != nil {
			return nil, 0, err
		}
	}
	return lags, tps, nil
}

// flushed is taken before the server is asked, so that a lag is never too short.
func (d *database) flushed(ctx context.Context) (sample, error) {
	at := time.Now()
	v, err := d.ask(ctx, "select pg_current_wal_flush_lsn()::text")
	if err != nil {
		return sample{}, err
	}
	lsn, err := wal.ParseLSN(v)
	return sample{lsn: uint64(lsn), at: at}, err
}

// watcher reads the checkpoints of a store as they appear.
type watcher struct {
	folder string
	last   uint64
	reach  uint64
}

// look gives the position that a restore can reach.
func (w *watcher) look() (uint64, error) {
	entries, err := os.ReadDir(w.folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	for _, e := range entries {
		n, err := strconv.ParseUint(e.Name(), 10, 64)
		if err != nil || n <= w.last {
			continue
		}
		text, err := os.ReadFile(filepath.Join(w.folder, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned meanwhile
		}
		if err != nil {
			return 0, err
		}
		reach, err := reachOf(text)
		if err != nil {
			return 0, err
		}
		w.last, w.reach = n, max(w.reach, reach)
	}
	return w.reach, nil
}

// reachOf is how far the bases, segments and tips that a checkpoint names reach. Each is one line of JSON, behind the word
// "tip" in the signed text or as a leaf after it.
func reachOf(checkpoint []byte) (reach uint64, err error) {
	for line := range bytes.Lines(checkpoint) {
		text, tip := bytes.CutPrefix(line, []byte("tip "))
		if !tip && !bytes.HasPrefix(line, []byte("{")) {
			continue
		}
		var object struct {
			Body struct{ To, Stop history.Position }
		}
		if err := json.Unmarshal(text, &object); err != nil {
			return 0, err
		}
		reach = max(reach, object.Body.To.Seq, object.Body.Stop.Seq)
	}
	return reach, nil
}
