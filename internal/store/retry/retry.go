// Package retry tries calls to a store again that failed for reasons that may pass, a bounded number of times, and
// gives up on calls that have gone silent.
//
// Never tried again: fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, fs.ErrPermission, an error whose Retryable method says
// no, anything once the caller's context has ended, and a Put whose reader can't be rewound and was read from.
//
// A Put that failed may have been stored all the same, as only the answer was lost. If the next try finds the name
// taken by an object of the same size and bytes (of large objects, both ends), that counts as success. So a caller for
// whom winning a name means something must put bytes that nobody else would.
package retry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/store"
)

// ErrSilent is the cause of a call that was given up because nothing came or went for too long.
var ErrSilent = errors.New("store is silent")

// Config bounds tries and waiting.
type Config struct {
	Attempts int            // tries in all; zero means 5
	Backoff  backoff.Policy // wait between tries
	Silence  time.Duration  // longest time without an answer or a byte; zero means 30s
	MinRate  int64          // bytes/s below which a store counts as silent; zero means 64 KiB/s
	Rand     func() float64 // jitter in [0, 1); nil means none

	// Notify is told of each failure that will be tried again; nil means nobody is. It may be called from several
	// goroutines.
	Notify func(op, name string, attempt int, err error)
}

// New returns s with retries, and with the extras that s has. Files of a Filer are passed on as they are.
func New(s store.Store, c Config) store.Store {
	if c.Attempts <= 0 {
		c.Attempts = 5
	}
	if c.Silence <= 0 {
		c.Silence = 30 * time.Second
	}
	if c.MinRate <= 0 {
		c.MinRate = 64 << 10
	}
	var l store.Locker
	if inner, ok := s.(store.Locker); ok {
		l = locker{inner, c}
	}
	f, _ := s.(store.Filer)
	return store.With(wrapper{s, c}, l, f)
}

type wrapper struct {
	store.Store
	c Config
}

func (w wrapper) Stat(ctx context.Context, name string) (o store.Object, err error) {
	err = w.c.do(ctx, "stat", name, func(ctx context.Context) error {
		o, err = w.Store.Stat(ctx, name)
		return err
	})
	return o, err
}

func (w wrapper) Delete(ctx context.Context, name string) error {
	return w.c.do(ctx, "delete", name, func(ctx context.Context) error { return w.Store.Delete(ctx, name) })
}

type locker struct {
	inner store.Locker
	c     Config
}

func (l locker) Lock(ctx context.Context, name string, until time.Time) error {
	return l.c.do(ctx, "lock", name, func(ctx context.Context) error { return l.inner.Lock(ctx, name, until) })
}

func (l locker) LockedUntil(ctx context.Context, name string) (until time.Time, err error) {
	err = l.c.do(ctx, "read lock of", name, func(ctx context.Context) error {
		until, err = l.inner.LockedUntil(ctx, name)
		return err
	})
	return until, err
}

// do makes a call that moves no bytes until it works.
func (c Config) do(ctx context.Context, op, name string, call func(context.Context) error) error {
	return c.repeat(ctx, op, name, func(int) (bool, error) {
		watched, w := watch(ctx, c.Silence)
		defer w.stop()
		return true, w.explain(call(watched))
	})
}

// repeat calls try with the number of the attempt until it returns nil, says that it can't be tried again, or the
// bound is reached.
func (c Config) repeat(ctx context.Context, op, name string, try func(attempt int) (again bool, err error)) error {
	for attempt := 1; ; attempt++ {
		again, err := try(attempt)
		if err == nil || !again || !passing(ctx, err) {
			return err
		}
		if attempt >= c.Attempts {
			return fmt.Errorf("%w (after %d attempts)", err, attempt)
		}
		if c.Notify != nil {
			c.Notify(op, name, attempt, err)
		}
		if stopped := backoff.Sleep(ctx, c.Backoff.Delay(attempt, c.Rand)); stopped != nil {
			return fmt.Errorf("%s %s: %w, after: %w", op, name, stopped, err)
		}
	}
}

// passing tells whether err may be gone the next time.
func passing(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	for _, lasting := range []error{fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, fs.ErrPermission} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	var says interface{ Retryable() bool }
	return !errors.As(err, &says) || says.Retryable()
}
