package retry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/fault"
	"github.com/backstaydb/backstay/internal/store/local"
	"github.com/backstaydb/backstay/internal/store/mem"
	"github.com/backstaydb/backstay/internal/store/retry"
	"github.com/backstaydb/backstay/internal/store/storetest"
)

func TestContract(t *testing.T) {
	for name, s := range map[string]store.Store{"mem": mem.NewLocking(), "local": local.New(t.TempDir())} {
		synctest.Test(t, func(t *testing.T) {
			if err := storetest.Check(t.Context(), retry.New(s, retry.Config{})); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// Every call fails once, also after its work was done, and each object comes through.
func TestTheContractHoldsOnAFlakyStore(t *testing.T) {
	for name, effect := range map[string]fault.Effect{
		"fails": fault.Fail(nil), "hangs": fault.Hang(), "answer lost": fault.FailAfter(nil), "cut": fault.Cut(700),
	} {
		synctest.Test(t, func(t *testing.T) {
			plan := fault.NewPlan()
			flaky := retry.New(fault.Wrap(mem.NewLocking(), plan), retry.Config{})
			disturb := func() {
				plan.Clear()
				plan.Add(fault.Rule{Effect: effect})
			}
			ctx := t.Context()
			for i := range 10 {
				object, data := fmt.Sprintf("object-%d", i), bytes.Repeat([]byte{byte(i)}, 1000)
				disturb()
				if err := flaky.Put(ctx, object, bytes.NewReader(data), 1000); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				disturb()
				if got, err := store.ReadAll(ctx, flaky, object, 1000); err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%s: read %d bytes, %v", name, len(got), err)
				}
				disturb()
				if o, err := flaky.Stat(ctx, object); err != nil || o.Size != 1000 {
					t.Fatalf("%s: stat %v, %v", name, o, err)
				}
			}
			disturb()
			seen := 0
			if err := flaky.List(ctx, "", func(store.Object) error { seen++; return nil }); err != nil || seen != 10 {
				t.Fatalf("%s: listed %d, %v", name, seen, err)
			}
			disturb()
			if err := flaky.Delete(ctx, "object-1"); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			disturb()
			if err := flaky.(store.Locker).Lock(ctx, "object-2", time.Now().Add(time.Hour)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if plan.Fired() < 30 {
				t.Fatalf("%s: only %d calls were disturbed", name, plan.Fired())
			}
		})
	}
}

func TestLastingErrorsAreNotTriedAgain(t *testing.T) {
	for _, lasting := range []error{fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, fs.ErrPermission, &store.InputError{Err: io.ErrUnexpectedEOF}} {
		plan := fault.NewPlan(fault.Rule{Times: fault.Always, Effect: fault.Fail(lasting)})
		s := retry.New(fault.Wrap(mem.New(), plan), retry.Config{})
		if err := s.Put(t.Context(), "x", strings.NewReader("x"), 1); !errors.Is(err, lasting) || plan.Calls("") != 1 {
			t.Errorf("%v: got %v after %d calls", lasting, err, plan.Calls(""))
		}
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan, told := fault.NewPlan(fault.Rule{Times: fault.Always, Effect: fault.Hang()}), 0
		s := retry.New(fault.Wrap(mem.New(), plan), retry.Config{
			Attempts: 3, Silence: time.Minute, Notify: func(string, string, int, error) { told++ },
		})
		began := time.Now()
		_, err := s.Stat(t.Context(), "x")
		if !errors.Is(err, retry.ErrSilent) || plan.Calls("") != 3 || told != 2 {
			t.Fatalf("got %v after %d calls, told of %d", err, plan.Calls(""), told)
		}
		if took := time.Since(began); took < 3*time.Minute || took > 4*time.Minute {
			t.Fatalf("three silent calls took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Stat(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) || plan.Calls("") != 4 {
			t.Fatalf("got %v after %d calls, want the caller's deadline after one more", err, plan.Calls(""))
		}
	})
}

func TestAPutThatCannotBeRewoundIsTriedOnce(t *testing.T) {
	plan := fault.NewPlan(fault.Rule{Op: fault.Put, Effect: fault.Cut(2)}, fault.Rule{Op: fault.Put, Nth: 2, Effect: fault.Fail(nil)})
	s := retry.New(fault.Wrap(mem.New(), plan), retry.Config{})
	pipe := func() io.Reader { return io.MultiReader(strings.NewReader("bytes")) }
	if err := s.Put(t.Context(), "x", pipe(), -1); !errors.Is(err, fault.ErrInjected) || plan.Calls(fault.Put) != 1 {
		t.Fatalf("got %v after %d puts", err, plan.Calls(fault.Put))
	}
	// The second rule fails before anything is read, so the reader is still whole.
	if err := s.Put(t.Context(), "x", pipe(), -1); err != nil || plan.Calls(fault.Put) != 3 {
		t.Fatalf("got %v after %d puts", err, plan.Calls(fault.Put))
	}
}

func TestAnothersObjectIsNotTakenForOurs(t *testing.T) {
	for _, size := range []int{100, 3 << 20} {
		ours := bytes.Repeat([]byte("o"), size)
		theirs := bytes.Clone(ours)
		theirs[size-1] = 't'
		inner := mem.New()
		plan := fault.NewPlan(fault.Rule{Op: fault.Put, Effect: fault.Fail(nil)})
		s := retry.New(fault.Wrap(inner, plan), retry.Config{Notify: func(string, string, int, error) {
			if err := inner.Put(t.Context(), "claim", bytes.NewReader(theirs), -1); err != nil {
				t.Error(err)
			}
		}})
		if err := s.Put(t.Context(), "claim", bytes.NewReader(ours), -1); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%d bytes: %v, want fs.ErrExist", size, err)
		}
	}
}

func TestAnObjectThatStoodBeforeIsNotOurs(t *testing.T) {
	s := retry.New(mem.New(), retry.Config{})
	for _, want := range []error{nil, fs.ErrExist} {
		if err := s.Put(t.Context(), "claim", strings.NewReader("same"), 4); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
}

func TestASlowCallerIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := retry.New(mem.New(), retry.Config{Silence: time.Second})
		ctx := t.Context()
		if err := s.Put(ctx, "x", io.MultiReader(slow{}, strings.NewReader("late")), -1); err != nil {
			t.Fatal(err)
		}
		r, err := s.Open(ctx, "x", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got, err := io.ReadAll(r); err != nil || string(got) != "late" {
			t.Fatalf("got %q, %v", got, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.List(ctx, "", func(store.Object) error { time.Sleep(time.Hour); return nil }); err != nil {
			t.Fatal(err)
		}
	})
}

// slow has nothing to give, after an hour.
type slow struct{}

func (slow) Read([]byte) (int, error) { time.Sleep(time.Hour); return 0, io.EOF }
