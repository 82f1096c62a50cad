package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestYear runs a year with all its changes of clocks: each job runs once for each time that its expression has, at that moment.
func TestYear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		time.Sleep(time.Until(start))
		exprs := map[string]string{
			"berlin base/full":   "daily at 02:30 Europe/Berlin",
			"berlin check":       "30 2 * * * Europe/Berlin",
			"newyork base/full":  "daily at 01:30 America/New_York",
			"newyork check":      "30 2 * * * America/New_York",
			"lordhowe base/full": "daily at 01:45 Australia/Lord_Howe",
			"lordhowe check":     "daily at 02:15 Australia/Lord_Howe",
			"berlin drill":       "weekly",
			"berlin deep-check":  "monthly",
			"newyork retention":  "every 6h",
			"lordhowe retention": "0 * * * * Australia/Lord_Howe",
		}
		runs := map[string]int{"berlin drill": 52, "berlin deep-check": 12, "newyork retention": 4 * 365, "lordhowe retention": 24*365 - 1}
		// Clocks that move by half an hour make two hours of the year half an hour longer: one hour less is begun.
		var jobs []Job
		for _, id := range slices.Sorted(maps.Keys(exprs)) {
			jobs = append(jobs, job(t, id, exprs[id]))
			if runs[id] == 0 {
				runs[id] = 365
			}
		}
		got := map[string][]time.Time{}
		w := newWorld(t, jobs...)
		for id := range exprs {
			w.act[id] = func(context.Context, Task) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				got[id] = append(got[id], time.Now().Round(0).UTC())
				return nil
			}
		}
		w.start()
		time.Sleep(time.Until(start.AddDate(1, 0, 0)) - time.Minute)
		w.end()
		for _, j := range jobs {
			id := j.ID.String()
			if n := len(got[id]); n < runs[id]-1 || n > runs[id]+1 {
				t.Errorf("%s ran %d times, want %d", id, n, runs[id])
			}
			at := start
			for _, ran := range got[id] {
				at = j.timing().Next(at)
				if !ran.Equal(at) {
					t.Fatalf("%s ran at %v, want %v", id, ran, at)
				}
			}
		}
		oncePerDay(t, "Europe/Berlin", 2, 30, got["berlin base/full"])
		oncePerDay(t, "Europe/Berlin", 2, 30, got["berlin check"])
		oncePerDay(t, "America/New_York", 1, 30, got["newyork base/full"])
		oncePerDay(t, "America/New_York", 2, 30, got["newyork check"])
		oncePerDay(t, "Australia/Lord_Howe", 1, 45, got["lordhowe base/full"])
		oncePerDay(t, "Australia/Lord_Howe", 2, 15, got["lordhowe check"])
	})
}

// oncePerDay holds the runs against the calendar alone: one on each day in zone, when clocks show that time, or at the change that
// skips it.
func oncePerDay(t *testing.T, zone string, hour, minute int, runs []time.Time) {
	t.Helper()
	in := ok(time.LoadLocation(zone))(t)
	skipped := 0
	for i, ran := range runs {
		ran = ran.In(in)
		if i > 0 && ran.YearDay() != runs[i-1].In(in).YearDay()%365+1 {
			t.Errorf("%s: %v follows %v", zone, ran, runs[i-1].In(in))
		}
		if ran.Hour() != hour || ran.Minute() != minute {
			skipped++
			if change, _ := ran.ZoneBounds(); !ran.Equal(change) {
				t.Errorf("%s: ran at %v", zone, ran)
			}
		}
	}
	if skipped > 1 {
		t.Errorf("%s: %d days without %02d:%02d", zone, skipped, hour, minute)
	}
}

// TestManySources has 2,000 sources with a base and a drill each night and a check each hour, each run taking 300 ms: with 16 places
// none begins more than a second late.
func TestManySources(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		jobs := manyJobs(t, 2000)
		w := newWorld(t, jobs...)
		w.c.Bounds.All = 16
		late, runs := time.Duration(0), 0
		w.c.Do = func(_ context.Context, task Task) error {
			w.mu.Lock()
			runs++
			late = max(late, time.Since(task.Decision.Since))
			w.mu.Unlock()
			time.Sleep(300 * time.Millisecond)
			return nil
		}
		w.start()
		time.Sleep(7 * time.Hour)
		w.end()
		if want := 2000 * (2 + 7); late > time.Second || runs != want {
			t.Errorf("%d runs of %d, the latest %v late", runs, want, late)
		}
	})
}

func manyJobs(tb testing.TB, sources int) []Job {
	tb.Helper()
	daily, err := Parse("daily")
	if err != nil {
		tb.Fatal(err)
	}
	hourly, err := Parse("hourly")
	if err != nil {
		tb.Fatal(err)
	}
	var jobs []Job
	for i := range sources {
		source := fmt.Sprintf("db%04d", i)
		jobs = append(jobs, Job{ID: ID{source, "base/full"}, Expr: daily}, Job{ID: ID{source, "drill"}, Expr: daily}, Job{ID: ID{source, "check"}, Expr: hourly})
	}
	return jobs
}

// TestNothingIsForgotten does what people and accidents do, at random: whatever happens, after it the runner says what Due says,
// and nothing that may start and has a place is left waiting.
func TestNothingIsForgotten(t *testing.T) {
	t.Parallel()
	seeds := 8
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { newChaos(t, uint64(seed)).run() })
	}
}

type chaos struct {
	*world
	t    *testing.T
	rnd  *rand.Rand
	runs int
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{t: t, rnd: rand.New(rand.NewPCG(seed, 0))}
	jobs := []Job{
		job(t, "a base/full", "daily at 02:30"), job(t, "a check", "every 3h"), job(t, "a drill", "daily"),
		job(t, "b base/full", "daily at 02:30", "a base/full"), job(t, "b check", "*/30 * * * *", "a check"),
		job(t, "c base/full", "every 5h", "b base/full", "a base/full"), job(t, "c drill", "daily", "c base/full"),
		job(t, "d base/full", "daily", "c base/full"), job(t, "(host) sweep", "hourly"),
	}
	for i := range jobs {
		if jobs[i].ID.Kind == "drill" {
			jobs[i].Class = "scratch"
		}
		if jobs[i].ID.Kind == "base/full" {
			jobs[i].Longest = 50 * time.Minute
			jobs[i].Hours.Forbid = mustWindows(t, "mon-fri 08:00-12:00")
		}
	}
	c.world = newWorld(t, jobs...)
	c.world.c.Bounds = Bounds{All: 3, Class: map[string]int{"scratch": 1}}
	c.world.c.Do = func(ctx context.Context, task Task) error {
		c.mu.Lock()
		c.runs++
		c.mu.Unlock()
		// Tasks that begin at once do so in any order: their chance must not depend on it.
		key := fmt.Sprint(seed, task.Job.ID, time.Now().Unix())
		d, fails := time.Duration(fraction(key)*60)*time.Minute, fraction(key+" fails") < 0.25
		if err := takes(d)(ctx, task); err != nil || fails {
			return errors.Join(err, errors.New("disk full"))
		}
		return nil
	}
	return c
}

func (c *chaos) run() {
	c.start()
	for range 300 {
		time.Sleep(time.Duration(c.rnd.IntN(100*60)) * time.Second)
		synctest.Wait()
		c.act()
		synctest.Wait()
		c.check()
	}
	for _, source := range []string{"", "a", "b", "c", "d"} {
		if err := c.r.Resume(c.t.Context(), ID{Source: source}); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, j := range c.c.Jobs {
		if err := c.r.Resume(c.t.Context(), j.ID); err != nil {
			c.t.Fatal(err)
		}
	}
	before := time.Now()
	time.Sleep(72 * time.Hour) // nothing is in the way of anything for ever
	c.check()
	for _, j := range c.c.Jobs {
		if s := c.r.State(j.ID); s.Start.Before(before) {
			c.t.Errorf("%s did not run in three days: %+v", j.ID, s)
		}
	}
	c.end()
	if c.runs < 300 {
		c.t.Errorf("only %d runs", c.runs)
	}
}

func (c *chaos) act() {
	what := c.rnd.IntN(8)
	id := c.c.Jobs[c.rnd.IntN(len(c.c.Jobs))].ID
	if what%2 == 1 {
		id.Kind = ""
	}
	var err error
	switch what {
	case 0, 1:
		p := Pause{By: "anna"}
		if c.rnd.IntN(2) == 0 {
			p.Until = time.Now().Round(0).Add(time.Duration(c.rnd.IntN(300)) * time.Minute)
		}
		err = c.r.Pause(c.t.Context(), id, p)
	case 2, 3, 5:
		err = c.r.Resume(c.t.Context(), id)
	case 4:
		cause := []Cause{Request, LogSize}[c.rnd.IntN(2)]
		_, err = c.r.Trigger(c.t.Context(), id, Event{Cause: cause, Detail: "chance asked for it"})
	case 6:
		c.end()
		time.Sleep(time.Duration(c.rnd.IntN(48)) * time.Hour)
		c.start()
	case 7:
		jobs := slices.Clone(c.c.Jobs)
		c.rnd.Shuffle(len(jobs), func(i, k int) { jobs[i], jobs[k] = jobs[k], jobs[i] })
		err = c.r.Replace(jobs)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// check holds the runner against Due.
func (c *chaos) check() {
	c.t.Helper()
	c.r.mu.Lock()
	now, running, drills := c.r.now(), len(c.r.running), c.r.line.class("scratch").busy
	states := maps.Clone(c.r.states)
	var jobs []Job
	for _, e := range c.r.t.entries {
		jobs = append(jobs, e.job)
		states[e.job.ID] = e.state
	}
	c.r.mu.Unlock()
	if running > 3 || drills > 1 {
		c.t.Fatalf("%d run at a time, %d drills", running, drills)
	}
	plan := c.r.Plan()
	for i, d := range Due(jobs, states, now) {
		if d.Act == Running || d.Act == Stop {
			d.Cause = plan[i].Cause // a state does not tell why
		}
		noPlace := d.Act == Start && plan[i].Act == Hold && strings.Contains(plan[i].Reason, "waits for a place")
		if d != plan[i] && !noPlace {
			c.t.Fatalf("the runner says\n%+v\nand Due\n%+v", plan[i], d)
		}
		if class := jobs[i].Class; d.Act == Start && running < 3 && (class == "" || drills < 1) {
			c.t.Fatalf("%v: %d run, and this is left waiting: %+v", now, running, d)
		}
	}
}
