package ledger

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/store"
)

const (
	pruneInterval = 30 * time.Second
	deletesAtOnce = 16
	lockedFor     = 24 * time.Hour // a checkpoint that is locked is asked for again so much later
)

// aged is a checkpoint and since when a newer one stands.
type aged struct {
	number uint64
	since  time.Time
}

// noteAge takes the ages of checkpoints from a listing. The store's clock is compared only with itself, and what was
// noted before counts where it is earlier.
func (l *Log) noteAge(numbers []uint64, objects []store.Object) {
	known := map[uint64]time.Time{}
	for _, a := range l.old {
		known[a.number] = a.since
	}
	l.old = nil
	if len(objects) == 0 {
		return
	}
	now, newest := l.c.Now(), objects[len(objects)-1].Created
	for i, n := range numbers[:len(numbers)-1] {
		since := now.Add(-max(0, newest.Sub(objects[i+1].Created)))
		if k, ok := known[n]; ok && k.Before(since) {
			since = k
		}
		l.old = append(l.old, aged{n, since})
	}
}

// prune deletes checkpoints above which newer ones have stood for long enough. What cannot be deleted is tried again
// later: it does no harm.
func (l *Log) prune(ctx context.Context) {
	now := l.c.Now()
	if now.Sub(l.pruned).Abs() < pruneInterval {
		return
	}
	l.pruned = now
	var mu sync.Mutex
	var keep []aged
	var g errgroup.Group
	g.SetLimit(deletesAtOnce)
	for _, a := range l.old {
		if a.number >= l.head.Number {
			continue
		}
		if now.Sub(a.since) < keepFor {
			mu.Lock()
			keep = append(keep, a)
			mu.Unlock()
			continue
		}
		g.Go(func() error {
			if err := l.c.Store.Delete(ctx, l.checkpointName(a.number)); err != nil {
				mu.Lock()
				since := now
				if errors.Is(err, fs.ErrPermission) {
					since = now.Add(lockedFor)
				}
				keep = append(keep, aged{a.number, since})
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait() // the functions return nil
	l.old = keep
}
