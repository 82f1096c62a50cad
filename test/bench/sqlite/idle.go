package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// idleSettle is how long a daemon may work after its first copy before it counts as idle.
const idleSettle = 15 * time.Second

// runIdle watches each daemon with one source that nobody writes.
func runIdle(ctx context.Context, b *bench) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("idle reads /proc, which %s does not have", runtime.GOOS)
	}
	pristine, err := b.pristine(ctx)
	if err != nil {
		return err
	}
	t := measure.NewTable("system", "store", "resident, mean", "max", "share of a core", "over")
	for range b.rounds {
		for _, store := range []string{"folder", "S3"} {
			for _, name := range []string{"backstay", "Litestream"} {
				if !b.wants(name) && !b.wants(store) {
					continue
				}
				if err := b.idleTurn(ctx, pristine, name, store, t); err != nil {
					return fmt.Errorf("%s, %s: %w", name, store, err)
				}
			}
		}
	}
	if err := t.Print(b.out); err != nil {
		return err
	}
	b.note("goals for ours: <= 60 MB resident, <= 0.5 %% of a core")
	return nil
}

func (b *bench) idleTurn(ctx context.Context, pristine, name, kind string, t *measure.Table) error {
	db, err := b.copyDatabase(pristine)
	if err != nil {
		return err
	}
	store, closeStore, err := b.openStore(ctx, kind)
	if err != nil {
		return err
	}
	s, err := b.newSystem(name, db, store)
	if err != nil {
		return err
	}
	if err := s.protect(ctx); err != nil {
		return err
	}
	if o, ok := s.(*ours); ok {
		if _, err := o.p.Stop(); err != nil {
			return err
		}
		if err := o.daemon(ctx); err != nil {
			return err
		}
	}
	if err := pause(ctx, idleSettle); err != nil {
		return err
	}
	mean, top, share, err := watchIdle(ctx, s.process(), b.duration)
	if err != nil {
		return err
	}
	t.Add(s.String(), kind, measure.Size(mean), measure.Size(top), fmt.Sprintf("%.2f %%", 100*share), b.duration.String())
	b.note("%s, %s: %s, %.2f %% of a core", s, kind, measure.Size(mean), 100*share)
	if _, err := s.process().Stop(); err != nil {
		return err
	}
	return closeStore()
}

// watchIdle reads the resident set once a second, and the processor time at both ends.
func watchIdle(ctx context.Context, p *measure.Process, d time.Duration) (mean, top int64, share float64, err error) {
	pid := p.Pid()
	before, err := measure.Processor(pid)
	if err != nil {
		return 0, 0, 0, err
	}
	began := time.Now()
	var sum, n int64
	for time.Since(began) < d {
		if err := pause(ctx, min(time.Second, d)); err != nil {
			return 0, 0, 0, err
		}
		rss, err := measure.Memory(pid, "VmRSS")
		if err != nil {
			return 0, 0, 0, fmt.Errorf("%w\n%s", err, p.Tail())
		}
		sum, n, top = sum+rss, n+1, max(top, rss)
	}
	after, err := measure.Processor(pid)
	return sum / max(n, 1), top, (after - before).Seconds() / time.Since(began).Seconds(), err
}
