package audit_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/fault"
	"github.com/backstaydb/backstay/internal/store/local"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// reader opens the log as somebody elsewhere does, who has the copy and the host's public key.
func (w *world) reader(t *testing.T, s store.Store) *audit.Log {
	return w.open(t, func(c *audit.Config) {
		c.Store, c.Signer, c.Verifiers, c.Memory = s, nil, []string{w.signer.Verifier()}, nil
	})
}

func TestCopyIsVerifiableElsewhere(t *testing.T) {
	w := newWorld(t)
	here := mem.New()
	w.store = here
	l, there := w.open(t, nil), mem.New()
	if done, err := l.CopyTo(t.Context(), there); err != nil || done.Objects > 0 {
		t.Fatalf("before there is a log: %+v, %v", done, err)
	}
	n := 0
	for _, add := range []int{1, 2, 300, 500, 0, 400} {
		fill(t, l, n, n+add)
		n += add
		if _, err := l.CopyTo(t.Context(), there); err != nil {
			t.Fatal(err)
		}
		v, err := w.reader(t, there).Verify(t.Context())
		if err != nil || len(v.Problems) > 0 || v.Entries != int64(n) {
			t.Fatalf("after %d entries: %+v, %v", n, v, err)
		}
		if done, err := l.CopyTo(t.Context(), there); err != nil || done.Objects > 0 {
			t.Fatalf("nothing new: %+v, %v", done, err)
		}
	}
	if names, err := audit.List(t.Context(), there); err != nil || !slices.Equal(names, []string{w.name()}) {
		t.Errorf("logs in the copy: %v, %v", names, err)
	}
	points := 0
	_ = there.List(t.Context(), audit.Volume(w.name(), 2)+"/checkpoint/", func(store.Object) error { points++; return nil })
	if points != 1 {
		t.Errorf("%d checkpoints are left in the copy", points)
	}
	err := there.List(t.Context(), "", func(o store.Object) error {
		a, err := store.ReadAll(t.Context(), there, o.Name, 1<<20)
		b, err2 := store.ReadAll(t.Context(), here, o.Name, 1<<20)
		if string(a) != string(b) {
			t.Errorf("%s is another object here", o.Name)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCopyMayBeInterrupted fails each call in turn, and then copies again.
func TestCopyMayBeInterrupted(t *testing.T) {
	w := newWorld(t)
	w.store = mem.New()
	l := w.open(t, nil)
	fill(t, l, 0, 700)
	for n := 1; ; n++ {
		there := mem.New()
		plan := fault.NewPlan(fault.Rule{Nth: n, Effect: fault.FailAfter(nil)})
		_, err := l.CopyTo(t.Context(), fault.Wrap(there, plan))
		if plan.Fired() == 0 {
			if n < 6 {
				t.Fatalf("only %d calls were made", n)
			}
			return
		}
		if err == nil {
			t.Fatalf("call %d failed, and the copy did not", n)
		}
		if v, err := w.reader(t, there).Verify(t.Context()); err != nil && !errors.Is(err, fs.ErrNotExist) || len(v.Unfinished) == 0 && badly(v) {
			t.Fatalf("call %d: half a copy is called damaged: %+v, %v", n, v, err)
		}
		if _, err := l.CopyTo(t.Context(), there); err != nil {
			t.Fatalf("call %d: copy again: %v", n, err)
		}
		if v, err := w.reader(t, there).Verify(t.Context()); err != nil || len(v.Problems) > 0 || v.Entries != 700 {
			t.Fatalf("call %d: %+v, %v", n, v, err)
		}
	}
}

// badly reports problems other than a volume whose first checkpoint is not copied yet.
func badly(v audit.Verification) bool {
	return slices.ContainsFunc(v.Problems, func(p audit.Problem) bool { return p.Fault != audit.Removed })
}

func TestCopyRefusesAForkAndARollback(t *testing.T) {
	w := newWorld(t)
	there := mem.New()
	l := w.open(t, nil)
	fill(t, l, 0, 10)
	old := t.TempDir()
	if err := os.CopyFS(old, os.DirFS(w.dir)); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 10, 20)
	if _, err := l.CopyTo(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	// A host that is put back to an older state.
	back := &world{signer: w.signer, now: w.now, full: w.full, dir: old, store: local.New(filepath.Join(old, "log"))}
	again := back.open(t, nil)
	var rollback *ledger.RollbackError
	if _, err := again.CopyTo(t.Context(), there); !errors.As(err, &rollback) {
		t.Errorf("older than the copy: %v", err)
	}
	fill(t, again, 30, 60) // and goes on from there
	if _, err := again.CopyTo(t.Context(), there); !errors.As(err, &rollback) {
		t.Errorf("another history: %v", err)
	}
	if v, err := w.reader(t, there).Verify(t.Context()); err != nil || len(v.Problems) > 0 || v.Entries != 20 {
		t.Errorf("the copy was touched: %+v, %v", v, err)
	}
}

func TestRestoreFromACopy(t *testing.T) {
	w := newWorld(t)
	there := mem.New()
	w.store = mem.New()
	l := w.open(t, nil)
	fill(t, l, 0, 650)
	if _, err := l.CopyTo(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Restore(t.Context(), there); !errors.Is(err, fs.ErrExist) {
		t.Errorf("restore over a log: %v", err)
	}
	w.store = local.New(filepath.Join(w.dir, "log"))
	l = w.open(t, nil)
	if _, err := l.Restore(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 650, 660)
	if got := ids(read(t, l, audit.Filter{})); !slices.Equal(got, wantIDs(0, 660)) {
		t.Errorf("%d entries", len(got))
	}
	if _, err := l.CopyTo(t.Context(), there); err != nil {
		t.Errorf("copy after a restore: %v", err)
	}
}

// TestCopyWhileOthersAppend copies from two Logs while a third appends: no copy is ever taken for a rollback.
func TestCopyWhileOthersAppend(t *testing.T) {
	w := newWorld(t)
	w.full = 40
	there := mem.New()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	first := w.open(t, nil)
	fill(t, first, 0, 1)
	failed := make(chan error, 2)
	done := make(chan struct{})
	for range 2 {
		l := w.open(t, nil)
		go func() {
			var err error
			for open := true; open && err == nil; {
				select {
				case <-done:
					open = false
				default:
				}
				_, err = l.CopyTo(ctx, there)
			}
			failed <- err
		}()
	}
	fill(t, first, 1, 150)
	close(done)
	if err := errors.Join(<-failed, <-failed); err != nil {
		t.Fatal(err)
	}
	if v, err := first.Verify(t.Context(), there); err != nil || len(v.Problems) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := w.reader(t, there).Verify(t.Context()); err != nil || len(v.Problems) > 0 || v.Entries != 150 {
		t.Errorf("%+v, %v", v, err)
	}
}
