package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// In a bubble it is midnight of 1 January 2000 in UTC.

func TestOneJobOfASourceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, job(t, "orders drill", "daily at 03:00"), job(t, "orders base/full", "daily at 02:30"), job(t, "orders check", "daily at 02:45"), job(t, "shop check", "daily at 02:45"))
		w.act["orders base/full"] = takes(time.Hour)
		w.start()
		time.Sleep(24 * time.Hour)
		w.want("01T02:30:00 orders base/full slot", "01T02:45:00 shop check slot", "01T03:30:00 orders check slot", "01T03:30:00 orders drill slot")
		w.end()
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var jobs []Job
		for i := range 6 {
			jobs = append(jobs, job(t, fmt.Sprintf("a%d drill", i), "daily at 01:00"), job(t, fmt.Sprintf("b%d base/full", i), "daily at 01:00"))
			jobs[2*i].Class = "scratch"
		}
		w := newWorld(t, jobs...)
		w.c.Bounds = Bounds{All: 3, Class: map[string]int{"scratch": 1}}
		drills, most := 0, 0
		for _, j := range jobs {
			w.act[j.ID.String()] = func(ctx context.Context, task Task) error {
				if task.Job.Class == "scratch" {
					w.mu.Lock()
					drills++
					most = max(most, drills)
					w.mu.Unlock()
					defer func() { w.mu.Lock(); drills--; w.mu.Unlock() }()
				}
				return takes(time.Minute)(ctx, task)
			}
		}
		w.start()
		time.Sleep(60*time.Minute + 30*time.Second)
		if d := w.r.Plan()[len(jobs)-1]; d.Act != Hold || d.Reason != "daily full base is due since 01:00; it waits for a place, for there are 3 and all are taken" {
			t.Errorf("without a place: %+v", d)
		}
		time.Sleep(30 * time.Minute)
		if n := len(w.took()); n != len(jobs) || w.most != 3 || most != 1 {
			t.Errorf("%d runs, %d at a time, %d drills at a time; want %d, 3, 1", n, w.most, most, len(jobs))
		}
		w.end()
	})
}

func TestAPersonGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, job(t, "a drill", "daily at 01:00"), job(t, "b drill", "daily at 01:01"), job(t, "c drill", "daily at 01:02"), job(t, "d drill", ""))
		w.c.Bounds.All = 1
		for _, id := range []string{"a drill", "b drill", "c drill"} {
			w.act[id] = takes(time.Hour)
		}
		w.start()
		time.Sleep(90 * time.Minute)
		if d, err := w.r.Trigger(t.Context(), ID{"d", "drill"}, Event{Cause: Request, Detail: "anna asked for it"}); err != nil || d.Act != Hold {
			t.Errorf("%+v, %v", d, err)
		}
		time.Sleep(3 * time.Hour)
		w.want("01T01:00:00 a drill slot", "01T02:00:00 d drill request", "01T02:00:00 b drill slot", "01T03:00:00 c drill slot")
		w.end()
	})
}

func TestOrderBetweenSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, job(t, "orders base/full", "daily at 02:30", "customers base/full"), job(t, "customers base/full", "daily at 04:00"), job(t, "shop base/full", "daily at 05:30", "orders base/full"))
		w.act["customers base/full"] = takes(20 * time.Minute)
		w.act["orders base/full"] = takes(2 * time.Hour)
		w.start()
		time.Sleep(48 * time.Hour)
		w.want("01T04:00:00 customers base/full slot", "01T04:20:00 orders base/full slot", "01T06:20:00 shop base/full slot",
			"02T04:00:00 customers base/full slot", "02T04:20:00 orders base/full slot", "02T06:20:00 shop base/full slot")
		w.end()
	})
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, job(t, "orders base/full", "daily at 02:30"))
		var fails atomic.Int64
		fails.Store(2)
		w.act["orders base/full"] = func(context.Context, Task) error {
			if fails.Add(-1) >= 0 {
				return errors.New("disk full")
			}
			return nil
		}
		w.start()
		time.Sleep(24 * time.Hour)
		runs := w.took()
		if len(runs) != 3 || !strings.HasSuffix(runs[0], "slot") || !strings.HasSuffix(runs[1], "retry") || !strings.HasSuffix(runs[2], "retry") {
			t.Errorf("ran %q", runs)
		}
		if s := w.r.State(ID{"orders", "base/full"}); s.Outcome != Done || s.Tries != 0 || s.Error != "" {
			t.Errorf("in the end: %+v", s)
		}
		fails.Store(1000)
		time.Sleep(48 * time.Hour)
		if runs := w.took(); len(runs) != 6 {
			t.Errorf("two days of failures, three tries each: %q", runs)
		}
		w.end()
	})
}

func TestLongestDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := job(t, "orders base/full", "daily at 02:30")
		j.Longest, j.Retry.Tries = time.Hour, 1
		w := newWorld(t, j)
		var cause error
		w.act["orders base/full"] = func(ctx context.Context, _ Task) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			time.Sleep(5 * time.Minute) // it takes this long to stop safely
			return ctx.Err()
		}
		w.start()
		time.Sleep(3*time.Hour + 32*time.Minute)
		if d := w.r.Plan()[0]; d.Act != Stop {
			t.Errorf("while it stops: %s, %s", d.Act, d.Reason)
		}
		time.Sleep(4 * time.Minute)
		var overran *OverranError
		if s := w.r.State(j.ID); !errors.As(cause, &overran) || s.Outcome != Overran || s.Running || s.End.Sub(s.Start) != 65*time.Minute {
			t.Errorf("%v; %+v", cause, s)
		}
		w.end()
	})
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, job(t, "orders base/full", "daily at 02:30"), job(t, "orders check", "daily at 04:00"))
		var before []State
		w.act["orders base/full"] = func(ctx context.Context, task Task) error {
			before = append(before, task.Before)
			return takes(time.Hour)(ctx, task)
		}
		w.start()
		time.Sleep(3 * time.Hour)
		if err := w.r.Pause(t.Context(), ID{Source: "orders"}, Pause{By: "anna"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Hour)
		w.want("01T02:30:00 orders base/full slot")
		if s := w.r.State(ID{"orders", "base/full"}); s.Running || s.Outcome != Interrupted || s.Tries != 0 || !strings.Contains(s.Error, "paused by anna") {
			t.Errorf("a paused run: %+v", s)
		}
		w.end()
		w.start() // a pause outlives the daemon
		time.Sleep(time.Hour)
		w.want()
		if err := w.r.Resume(t.Context(), ID{Source: "orders"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		w.want("01T13:00:00 orders base/full resume", "01T14:00:00 orders check slot")
		if len(before) != 2 || !(Task{Before: before[1]}).Resumes() || before[1].Start.Hour() != 2 {
			t.Errorf("who resumes was told %+v", before)
		}
		if err := w.r.Pause(t.Context(), ID{"orders", "drill"}, Pause{}); !errors.As(err, new(*UnknownJobError)) {
			t.Errorf("pausing what does not exist: %v", err)
		}
		w.end()
	})
}

func TestTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := job(t, "orders base/full", "daily at 02:30")
		j.Hours.Forbid = mustWindows(t, "08:00-18:00")
		w := newWorld(t, j)
		w.act["orders base/full"] = takes(time.Hour)
		w.start()
		time.Sleep(12 * time.Hour)
		w.want("01T02:30:00 orders base/full slot")
		event, _ := LogGrown(12<<30, 10<<30, time.Now())
		if d, err := w.r.Trigger(t.Context(), j.ID, event); err != nil || d.Act != Hold {
			t.Errorf("much log in forbidden hours: %+v, %v", d, err)
		}
		if d, err := w.r.Trigger(t.Context(), j.ID, Event{Cause: Request, Detail: "anna asked for it"}); err != nil || d.Act != Start {
			t.Errorf("a person asks: %+v, %v", d, err)
		}
		time.Sleep(time.Minute)
		w.want("01T12:00:00 orders base/full request")
		if d, err := w.r.Trigger(t.Context(), j.ID, event); err != nil || d.Act != Running {
			t.Errorf("while it runs: %+v, %v", d, err)
		}
		time.Sleep(12 * time.Hour)
		w.want() // both events were served by one run
		if _, err := w.r.Trigger(t.Context(), ID{"shop", "drill"}, event); !errors.As(err, new(*UnknownJobError)) {
			t.Errorf("of what does not exist: %v", err)
		}
		w.end()
	})
}

func TestEndAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, job(t, "orders base/full", "daily at 02:30"), job(t, "shop check", "every 1h"))
		w.act["orders base/full"] = takes(time.Hour)
		w.start()
		time.Sleep(150 * time.Minute)
		w.took()
		time.Sleep(10 * time.Minute)
		w.end()
		time.Sleep(100 * time.Hour)
		w.want()
		w.start()
		time.Sleep(time.Minute)
		if runs := w.took(); len(runs) != 2 || !slices.Contains(runs, "05T06:40:00 orders base/full resume") || !slices.Contains(runs, "05T06:40:00 shop check slot") {
			t.Errorf("after 100 hours each runs once: %q", runs)
		}
		time.Sleep(4 * time.Hour)
		w.took()
		w.end()
	})
}

// TestRestartsPutNothingOff: a job that comes once a month comes, although the daemon is restarted each day.
func TestRestartsPutNothingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, job(t, "orders deep-check", "0 3 29 * *"), job(t, "orders drill", "every 30d"))
		for range 35 {
			w.start()
			time.Sleep(23 * time.Hour)
			w.end()
		}
		if runs := w.took(); len(runs) != 2 {
			t.Errorf("in 33 days ran %q", runs)
		}
	})
}

func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := job(t, "orders base/full", "daily at 02:30")
		w := newWorld(t, j)
		w.keep.states[j.ID] = State{}.Started(time.Now())
		time.Sleep(time.Minute)
		resumed := false
		w.act["orders base/full"] = func(_ context.Context, task Task) error { resumed = task.Resumes(); return nil }
		w.start()
		time.Sleep(time.Minute)
		w.want("01T00:01:00 orders base/full resume")
		if !resumed {
			t.Error("who does it was not told")
		}
		w.end()
	})
}

func TestStatesThatCannotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, job(t, "orders base/full", "daily at 02:30"))
		w.start()
		time.Sleep(time.Minute)
		w.keep.mu.Lock()
		w.keep.err = errors.New("catalog is gone")
		w.keep.states[ID{"orders", "base/full"}] = State{Running: true} // for do, which looks
		w.keep.mu.Unlock()
		time.Sleep(24 * time.Hour)
		w.want("01T02:30:00 orders base/full slot")
		w.keep.mu.Lock()
		w.keep.err = nil
		w.keep.mu.Unlock()
		w.end()
		if s := w.keep.states[ID{"orders", "base/full"}]; s.Outcome != Done || s.Start.Hour() != 2 {
			t.Errorf("saved late: %+v", s)
		}
	})
}

func TestReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, check := job(t, "orders base/full", "daily at 02:30"), job(t, "orders check", "daily at 03:00")
		w := newWorld(t, base, check)
		w.act["orders base/full"] = takes(2 * time.Hour)
		w.start()
		time.Sleep(165 * time.Minute)
		drill := job(t, "orders drill", "daily at 02:50")
		if err := w.r.Replace([]Job{check, drill}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		w.want("01T02:30:00 orders base/full slot") // it runs on, and its source is busy
		time.Sleep(time.Hour)
		w.want("01T04:30:00 orders drill slot", "01T04:30:00 orders check slot")
		if err := w.r.Replace([]Job{check, drill, base}); err != nil {
			t.Fatal(err)
		}
		if d := w.r.Plan()[2]; d.Act != Rest || d.Next.Day() != 2 {
			t.Errorf("the base came back, and had run: %+v", d)
		}
		if err := w.r.Replace([]Job{check, check}); err == nil {
			t.Error("two jobs of one name")
		}
		w.end()
	})
}

func TestClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, job(t, "orders base/full", "daily at 02:30"))
		w.start()
		time.Sleep(12 * time.Hour)
		w.want("01T02:30:00 orders base/full slot")
		w.jump(72 * time.Hour) // or the host slept
		time.Sleep(time.Minute)
		w.want("04T12:01:00 orders base/full slot")
		w.jump(-72 * time.Hour)
		time.Sleep(24 * time.Hour)
		w.want("02T02:30:00 orders base/full slot")
		w.jump(-time.Hour)
		time.Sleep(25 * time.Hour)
		w.want("03T02:30:00 orders base/full slot")
		w.end()
	})
}
