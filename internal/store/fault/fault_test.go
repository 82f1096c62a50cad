package fault_test

import (
	"context"
	"errors"
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
	"github.com/backstaydb/backstay/internal/store/storetest"
)

func TestWithoutRulesTheContractHolds(t *testing.T) {
	for name, s := range map[string]store.Store{"mem": mem.NewLocking(), "local": local.New(t.TempDir())} {
		synctest.Test(t, func(t *testing.T) {
			plan := fault.NewPlan()
			if err := storetest.Check(t.Context(), fault.Wrap(s, plan)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if plan.Calls("") == 0 || plan.Fired() != 0 {
				t.Errorf("%s: %d calls, %d fired", name, plan.Calls(""), plan.Fired())
			}
		})
	}
}

// The suite itself is known to be able to fail: whatever goes wrong for good, one of its steps must notice.
func TestTheSuiteNoticesEveryLastingFailure(t *testing.T) {
	for name, rule := range map[string]fault.Rule{
		"put lost":        {Op: fault.Put, Effect: fault.Lose()},
		"put flipped":     {Op: fault.Put, Effect: fault.Flip(3)},
		"put truncated":   {Op: fault.Put, Effect: fault.Truncate(5)},
		"put unanswered":  {Op: fault.Put, Effect: fault.FailAfter(nil)},
		"read flipped":    {Op: fault.Open, Effect: fault.Flip(0)},
		"read truncated":  {Op: fault.Open, Effect: fault.Truncate(5)},
		"read cut":        {Op: fault.Open, Effect: fault.Cut(5)},
		"list truncated":  {Op: fault.List, Effect: fault.Truncate(1)},
		"list fails":      {Op: fault.List, Effect: fault.Fail(nil)},
		"delete lost":     {Op: fault.Delete, Effect: fault.Lose()},
		"stat fails":      {Op: fault.Stat, Effect: fault.Fail(nil)},
		"lock lost":       {Op: fault.Lock, Effect: fault.Lose()},
		"exists unheeded": {Op: fault.Put, Name: "*taken", Nth: 2, Effect: fault.Lose()},
	} {
		t.Run(name, func(t *testing.T) {
			rule.Times = fault.Always
			synctest.Test(t, func(t *testing.T) {
				plan := fault.NewPlan(rule)
				if err := storetest.Check(t.Context(), fault.Wrap(mem.NewLocking(), plan)); err == nil {
					t.Fatalf("the suite passed, though %d calls were disturbed", plan.Fired())
				}
			})
		})
	}
}

func TestRulesPickTheirCalls(t *testing.T) {
	ctx, plan := t.Context(), fault.NewPlan(fault.Rule{Op: fault.Stat, Name: "a/*/z", Nth: 2, Times: 2, Effect: fault.Fail(nil)})
	s := fault.Wrap(mem.New(), plan)
	for i, c := range []struct {
		name string
		want error
	}{
		{"a/b/z", fs.ErrNotExist}, {"a/b", fs.ErrNotExist}, {"a/c/d/z", fault.ErrInjected},
		{"b/a/z", fs.ErrNotExist}, {"a/b/z", fault.ErrInjected}, {"a/b/z", fs.ErrNotExist},
	} {
		if _, err := s.Stat(ctx, c.name); !errors.Is(err, c.want) {
			t.Errorf("call %d of %s: %v, want %v", i, c.name, err, c.want)
		}
	}
	if plan.Fired() != 2 || plan.Calls(fault.Stat) != 6 || plan.Calls(fault.Put) != 0 {
		t.Errorf("fired %d, stats %d", plan.Fired(), plan.Calls(fault.Stat))
	}
	plan.Add(fault.Rule{Times: fault.Always, Effect: fault.Fail(nil)})
	plan.Clear()
	if _, err := s.Stat(ctx, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Clear: %v", err)
	}
}

func TestHangEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fault.Wrap(mem.New(), fault.NewPlan(
			fault.Rule{Op: fault.Put, Effect: fault.Hang()},
			fault.Rule{Op: fault.Put, Effect: fault.Slow(time.Second), Nth: 2},
		))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Put(ctx, "x", strings.NewReader("x"), 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		began := time.Now()
		if err := s.Put(t.Context(), "x", strings.NewReader("x"), 1); err != nil || time.Since(began) != time.Second {
			t.Fatalf("slow put took %v, %v", time.Since(began), err)
		}
	})
}

func TestFilesFailToo(t *testing.T) {
	ctx, plan := t.Context(), fault.NewPlan(
		fault.Rule{Op: fault.Write, Nth: 2, Effect: fault.Fail(io.ErrShortWrite)},
		fault.Rule{Op: fault.Commit, Effect: fault.Lose()},
	)
	s := fault.Wrap(local.New(t.TempDir()), plan)
	f, err := s.(store.Filer).Create(ctx, "file")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []error{nil, io.ErrShortWrite, nil} {
		if _, err := f.Write([]byte("x")); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	if err := f.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(ctx, "file"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a lost commit is there: %v", err)
	}
}
