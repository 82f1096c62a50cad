package limit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/fault"
	"github.com/backstaydb/backstay/internal/store/limit"
	"github.com/backstaydb/backstay/internal/store/local"
	"github.com/backstaydb/backstay/internal/store/mem"
	"github.com/backstaydb/backstay/internal/store/storetest"
)

func TestContract(t *testing.T) {
	for name, s := range map[string]store.Store{"mem": mem.NewLocking(), "local": local.New(t.TempDir())} {
		synctest.Test(t, func(t *testing.T) {
			c := limit.Config{Reads: 1, Writes: 1, Upload: 10 << 20, Download: 10 << 20}
			if err := storetest.Check(t.Context(), limit.New(s, c)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, s := t.Context(), limit.New(mem.New(), limit.Config{Upload: 1000, Download: 500})
		data := make([]byte, 10_000)
		took := timed(func() {
			if err := s.Put(ctx, "x", bytes.NewReader(data), -1); err != nil {
				t.Fatal(err)
			}
		})
		if took < 8900*time.Millisecond || took > 9100*time.Millisecond {
			t.Errorf("10 kB up at 1 kB/s after a burst of 1 s took %v, want 9s", took)
		}
		took = timed(func() {
			if got, err := store.ReadAll(ctx, s, "x", 10_000); err != nil || len(got) != 10_000 {
				t.Fatalf("got %d bytes, %v", len(got), err)
			}
		})
		if took < 18900*time.Millisecond || took > 19100*time.Millisecond {
			t.Errorf("10 kB down at 500 B/s after a burst of 1 s took %v, want 19s", took)
		}
		hurried, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := s.Put(hurried, "y", bytes.NewReader(data), -1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	})
}

// Two stores on one line share its rate; what is hurried waits for nobody, and the others wait for it.
func TestALineIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := limit.NewLine(limit.Config{Upload: 1000, Hurried: 500})
		a, b := line.Wrap(mem.New()), line.Wrap(mem.New())
		put := func(s store.Store, name string, size int64) {
			if err := s.Put(t.Context(), name, bytes.NewReader(make([]byte, size)), size); err != nil {
				t.Error(err)
			}
		}
		took := timed(func() {
			var group sync.WaitGroup
			group.Go(func() { put(a, "x", 5000) })
			group.Go(func() { put(b, "x", 5000) })
			group.Wait()
		})
		if took < 8900*time.Millisecond || took > 9100*time.Millisecond {
			t.Errorf("twice 5 kB at 1 kB/s after a burst of 1 s took %v, want 9s", took)
		}
		if took := timed(func() { put(a, "tip", 500) }); took != 0 {
			t.Errorf("what is hurried waited for %v", took)
		}
		if took := timed(func() { put(b, "y", 1000) }); took < 1400*time.Millisecond || took > 1600*time.Millisecond {
			t.Errorf("1 kB after what was hurried took %v, want 1.5s", took)
		}
		line.SetRates(0, 0)
		if took := timed(func() { put(b, "z", 100_000) }); took != 0 {
			t.Errorf("without a bound it took %v", took)
		}
	})
}

func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := fault.Wrap(mem.New(), fault.NewPlan(fault.Rule{Op: fault.Put, Times: fault.Always, Effect: fault.Slow(time.Second)}))
		ctx, s := t.Context(), limit.New(slow, limit.Config{Writes: 3})
		took := timed(func() {
			var group sync.WaitGroup
			for i := range 9 {
				group.Go(func() {
					if err := s.Put(ctx, string(rune('a'+i)), strings.NewReader("x"), 1); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
		})
		if took != 3*time.Second {
			t.Errorf("9 puts of 1 s, 3 at once, took %v", took)
		}
	})
}

// A copy within a store holds a place for writing while it asks for one for reading.
func TestAPutMayReadFromTheSameStore(t *testing.T) {
	ctx, s := t.Context(), limit.New(mem.New(), limit.Config{Reads: 1, Writes: 1})
	if err := s.Put(ctx, "from", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, "to", &lazy{ctx: ctx, s: s}, 1); err != nil {
		t.Fatal(err)
	}
}

type lazy struct {
	ctx context.Context
	s   store.Store
	r   io.Reader
}

func (l *lazy) Read(p []byte) (int, error) {
	if l.r == nil {
		r, err := l.s.Open(l.ctx, "from", 0, -1)
		if err != nil {
			return 0, err
		}
		l.r = r
	}
	return l.r.Read(p)
}

func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}
