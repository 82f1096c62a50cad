package catalog_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/history"
)

func record(t *testing.T, c *catalog.Catalog, runs ...catalog.Run) {
	t.Helper()
	if err := c.Record(t.Context(), runs...); err != nil {
		t.Fatal(err)
	}
}

func run(id string, minute int, outcome string) catalog.Run {
	r := catalog.Run{ID: id, Kind: "base", Source: "app", Repository: "local", Owner: "daemon", Decision: "a day is over", Began: start.Add(time.Duration(minute) * time.Minute)}
	if outcome != "" {
		r.Ended, r.Outcome, r.Bytes = r.Began.Add(30*time.Second), outcome, 42
		r.Phases = []catalog.Phase{{Name: "read", Seconds: 20, Bytes: 42}, {Name: "put", Seconds: 10}}
	}
	return r
}

func TestRunsAndWhatSumsThemUp(t *testing.T) {
	c, _ := open(t)
	record(t, c, run("a", 0, ""))
	if s, err := c.Summary(t.Context()); err != nil || len(s.Running) != 1 || len(s.Activities) != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	record(t, c, run("a", 0, catalog.OK))
	record(t, c, run("a", 0, "failed")) // it has ended: told twice changes nothing
	record(t, c, run("b", 10, "failed"), run("c", 20, "failed"))
	late := run("late", 5, "failed")
	record(t, c, late, late)
	s, err := c.Summary(t.Context())
	if err != nil || len(s.Running) != 0 || len(s.Activities) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	if a := s.Activities[0]; a.Failures != 3 || a.LastRun != "c" || a.LastOutcome != "failed" || !a.OKBegan.Equal(start) || !a.LastBegan.Equal(start.Add(20*time.Minute)) {
		t.Errorf("%+v", a)
	}
	record(t, c, run("d", 30, catalog.OK))
	if s, err := c.Summary(t.Context()); err != nil || s.Activities[0].Failures != 0 || !s.Activities[0].OKBegan.Equal(start.Add(30*time.Minute)) {
		t.Errorf("%+v, %v", s, err)
	}
	list, err := c.Runs(t.Context(), catalog.RunFilter{Source: "app", Outcome: "failed", Since: start.Add(6 * time.Minute)})
	if err != nil || len(list) != 2 || list[0].ID != "c" || list[1].Bytes != 42 || len(list[1].Phases) != 2 || list[1].Decision != "a day is over" {
		t.Errorf("%+v, %v", list, err)
	}
	n, err := c.Trim(t.Context(), start.Add(25*time.Minute))
	if err != nil || n != 4 {
		t.Errorf("trimmed %d: %v", n, err)
	}
	if s, err := c.Summary(t.Context()); err != nil || len(s.Activities) != 1 {
		t.Errorf("trimming took away what sums up: %+v, %v", s, err)
	}
	if err := c.Record(t.Context(), catalog.Run{ID: "x"}); err == nil {
		t.Error("a run without a beginning was recorded")
	}
}

func TestRunsOfADeadProcess(t *testing.T) {
	c, _ := open(t)
	other := run("other", 1, "")
	other.Owner = "command 7"
	record(t, c, run("a", 0, ""), other)
	left, err := c.Interrupt(t.Context(), "daemon", start.Add(time.Hour))
	if err != nil || len(left) != 1 || left[0].ID != "a" || left[0].Outcome != catalog.Interrupted {
		t.Fatalf("%+v, %v", left, err)
	}
	running, err := c.Runs(t.Context(), catalog.RunFilter{Running: true})
	if err != nil || len(running) != 1 || running[0].ID != "other" {
		t.Errorf("%+v, %v", running, err)
	}
}

func TestDrills(t *testing.T) {
	c, _ := open(t)
	sync(t, c, facts(1))
	for i, verdict := range []string{"proved", "backup-bad", "proved", "environment-bad"} {
		d := catalog.Drill{Ref: ref, Report: fmt.Sprint("r", i), Began: start.Add(time.Duration(i) * time.Hour), Verdict: verdict, LaySeconds: 1.5}
		if err := c.Drilled(t.Context(), d, d); err != nil {
			t.Fatal(err)
		}
	}
	h := holding(t, c)
	if h.LastDrill == nil || h.LastDrill.Report != "r3" || h.LastProved == nil || h.LastProved.Report != "r2" || h.LastProved.LaySeconds != 1.5 {
		t.Errorf("last %+v, proved %+v", h.LastDrill, h.LastProved)
	}
	list, err := c.Drills(t.Context(), catalog.DrillFilter{Source: "app", Verdict: "proved", Last: 5})
	if err != nil || len(list) != 2 || list[0].Report != "r2" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestPositionsGrowCoarser(t *testing.T) {
	c, _ := open(t)
	// A sample every ten minutes for 100 days, one with a long lag on the third.
	var all []catalog.Sample
	end := start.Add(100 * 24 * time.Hour)
	for at := start; at.Before(end); at = at.Add(10 * time.Minute) {
		s := catalog.Sample{Ref: ref, Time: at, Position: history.At(1, uint64(at.Sub(start)/time.Minute)), Lag: time.Second}
		if at.Equal(start.Add(60 * time.Hour)) {
			s.Lag = time.Hour
		}
		all = append(all, s)
	}
	if err := c.Sampled(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	got, err := c.Positions(t.Context(), ref, time.Time{})
	if err != nil || !slices.IsSortedFunc(got, func(a, b catalog.Sample) int { return a.Time.Compare(b.Time) }) {
		t.Fatal(err)
	}
	minutes, hours, days, longest := 0, 0, 0, time.Duration(0)
	for i, s := range got {
		longest = max(longest, s.LagMax)
		if i == 0 {
			continue
		}
		switch gap := s.Time.Sub(got[i-1].Time); {
		case gap <= 10*time.Minute:
			minutes++
		case gap <= time.Hour:
			hours++
		case gap <= 24*time.Hour:
			days++
		default:
			t.Errorf("nothing for %v before %v", gap, s.Time)
		}
	}
	if minutes < 140 || minutes > 150 || hours < 58*24 || hours > 60*24 || days < 38 || days > 42 || longest != time.Hour {
		t.Errorf("%d by the minute, %d by the hour, %d by the day; longest lag %v", minutes, hours, days, longest)
	}
	if last := got[len(got)-1]; !last.Position.Equal(all[len(all)-1].Position) {
		t.Errorf("the last is %+v", last)
	}
	if recent, err := c.Positions(t.Context(), ref, end.Add(-time.Hour)); err != nil || len(recent) != 6 {
		t.Errorf("%d in the last hour: %v", len(recent), err)
	}
}

func TestState(t *testing.T) {
	c, _ := open(t)
	if _, err := c.State(t.Context(), "schedule"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing kept: %v", err)
	}
	for _, v := range []string{`{"a":1}`, `{"a":2}`} {
		if err := c.PutState(t.Context(), "schedule", json.RawMessage(v)); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := c.State(t.Context(), "schedule"); err != nil || string(v) != `{"a":2}` {
		t.Errorf("%s, %v", v, err)
	}
	if err := c.PutState(t.Context(), "schedule", json.RawMessage("{")); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("no JSON: %v", err)
	}
}
