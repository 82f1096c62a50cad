// Package leasetest is the suite that every lease.Store passes.
package leasetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backstaydb/backstay/internal/lease"
)

// Check runs the suite. open returns handles of one store, each as another host would hold it; Check closes them.
func Check(ctx context.Context, open func() (lease.Store, error)) error {
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	for _, part := range []struct {
		name string
		run  func(context.Context, lease.Store, lease.Store) error
	}{
		{"swap", swap}, {"one of many wins", contend}, {"watch", watch}, {"ended context", ended},
	} {
		if err := with(ctx, open, part.run); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

func with(ctx context.Context, open func() (lease.Store, error), run func(context.Context, lease.Store, lease.Store) error) error {
	a, err := open()
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := open()
	if err != nil {
		return err
	}
	defer b.Close()
	return run(ctx, a, b)
}

func swap(ctx context.Context, a, b lease.Store) error {
	if e, err := a.Get(ctx, "swap"); err != nil || e.Revision != 0 || e.Value != nil {
		return fmt.Errorf("what does not exist is %+v, %v", e, err)
	}
	first, err := a.Swap(ctx, "swap", 0, []byte("one"))
	if err != nil || first.Revision == 0 {
		return fmt.Errorf("create: %+v, %v", first, err)
	}
	if _, err := b.Swap(ctx, "swap", 0, []byte("two")); !errors.Is(err, lease.ErrStale) {
		return fmt.Errorf("a second creation: %v", err)
	}
	second, err := b.Swap(ctx, "swap", first.Revision, []byte("two"))
	if err != nil || second.Revision <= first.Revision {
		return fmt.Errorf("change: %+v, %v", second, err)
	}
	if _, err := a.Swap(ctx, "swap", first.Revision, []byte("three")); !errors.Is(err, lease.ErrStale) {
		return fmt.Errorf("a stale change: %v", err)
	}
	if e, err := a.Get(ctx, "swap"); err != nil || string(e.Value) != "two" || e.Revision != second.Revision {
		return fmt.Errorf("read back %q at %d, %v", e.Value, e.Revision, err)
	}
	return nil
}

// contend counts up from several handles at once: no step is lost or made twice.
func contend(ctx context.Context, a, b lease.Store) error {
	const each = 20
	var wait sync.WaitGroup
	var failed atomic.Value
	for _, s := range []lease.Store{a, b, a, b} {
		wait.Go(func() {
			for done := 0; done < each; {
				e, err := s.Get(ctx, "count")
				if err == nil {
					_, err = s.Swap(ctx, "count", e.Revision, append(e.Value, 'x'))
				}
				switch {
				case err == nil:
					done++
				case !errors.Is(err, lease.ErrStale):
					failed.Store(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if err, ok := failed.Load().(error); ok {
		return err
	}
	if e, err := a.Get(ctx, "count"); err != nil || len(e.Value) != 4*each {
		return fmt.Errorf("%d steps are there of %d, %v", len(e.Value), 4*each, err)
	}
	return nil
}

func watch(ctx context.Context, a, b lease.Store) error {
	e, err := a.Swap(ctx, "watch", 0, []byte("0"))
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	ended, seen, last := make(chan error, 1), uint64(0), ""
	go func() {
		ended <- b.Watch(watching, "watch", 0, func(n lease.Entry) {
			if n.Revision > seen {
				seen = n.Revision
			} else {
				last = "backwards"
			}
			if last != "backwards" {
				last = string(n.Value)
			}
			if last == "9" || last == "backwards" {
				stop()
			}
		})
	}()
	for i := 1; i < 10; i++ {
		if e, err = a.Swap(ctx, "watch", e.Revision, fmt.Append(nil, i)); err != nil {
			return err
		}
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		return fmt.Errorf("the watch ended with %v", err)
	}
	if last != "9" || seen != e.Revision {
		return fmt.Errorf("saw %q at %d last, the end is at %d", last, seen, e.Revision)
	}
	return nil
}

func ended(ctx context.Context, a, _ lease.Store) error {
	ctx, stop := context.WithCancel(ctx)
	stop()
	if _, err := a.Swap(ctx, "ended", 0, []byte("x")); err == nil {
		return errors.New("a swap with an ended context succeeded")
	}
	if e, err := a.Get(context.WithoutCancel(ctx), "ended"); err != nil || e.Revision != 0 {
		return fmt.Errorf("it wrote all the same: %+v, %v", e, err)
	}
	return nil
}
