package backoff_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"pgregory.net/rapid"
)

func TestDelayGrowsToItsBound(t *testing.T) {
	p := backoff.Policy{Min: time.Second, Max: 10 * time.Second, Factor: 3}
	for i, want := range []time.Duration{time.Second, time.Second, 3 * time.Second, 9 * time.Second, 10 * time.Second, 10 * time.Second} {
		if got := p.Delay(i, nil); got != want {
			t.Errorf("attempt %d: %v, want %v", i, got, want)
		}
	}
	if got := p.Delay(2, func() float64 { return 0 }); got != 1500*time.Millisecond {
		t.Errorf("least jitter: %v, want 1.5s", got)
	}
	if got := (backoff.Policy{}).Delay(1, nil); got != 100*time.Millisecond {
		t.Errorf("zero policy: %v, want 100ms", got)
	}
}

func TestDelayStaysInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := backoff.Policy{
			Min:    time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "min")),
			Max:    time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "max")),
			Factor: rapid.Float64Range(-1, 1e6).Draw(t, "factor"),
		}
		rnd := rapid.Float64Range(0, 1).Draw(t, "rnd")
		d := p.Delay(rapid.IntRange(-5, 1<<20).Draw(t, "attempt"), func() float64 { return rnd })
		if d < p.Min/2 || d > max(p.Min, p.Max) {
			t.Fatalf("%v outside of %+v", d, p)
		}
	})
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := backoff.Sleep(t.Context(), time.Minute); err != nil || time.Since(start) != time.Minute {
			t.Fatalf("slept %v, %v", time.Since(start), err)
		}
		cause := errors.New("lease lost")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		start = time.Now()
		if err := backoff.Sleep(ctx, time.Minute); !errors.Is(err, cause) || time.Since(start) != time.Second {
			t.Fatalf("slept %v, %v; want the cause after 1s", time.Since(start), err)
		}
		if err := backoff.Sleep(ctx, 0); !errors.Is(err, cause) {
			t.Fatalf("got %v, want the cause without a wait", err)
		}
	})
}
