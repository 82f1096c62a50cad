package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestDue reads testdata/due.txt: jobs, what is remembered of them and now; below it what is decided.
func TestDue(t *testing.T) {
	for _, c := range blocks(t, "testdata/due.txt") {
		t.Run(c.name, func(t *testing.T) {
			f := readFacts(t, c.facts)
			if err := Validate(f.jobs); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range Due(f.jobs, f.states, f.now) {
				line := fmt.Sprintf("%s: %s", d.Job, d.Act)
				if d.Cause != "" {
					line += " (" + string(d.Cause) + ")"
				}
				if !d.Next.IsZero() {
					line += ", next " + clock(d.Next, f.now)
				}
				got = append(got, line, "  "+d.Reason)
			}
			c.compare(t, got)
		})
	}
}

// facts are the jobs and states of a table. Each line adds to the job that was named last.
type facts struct {
	now    time.Time
	jobs   []Job
	states map[ID]State
}

func readFacts(t *testing.T, lines []string) *facts {
	t.Helper()
	f := &facts{states: map[ID]State{}}
	for _, l := range lines {
		key, value, _ := strings.Cut(strings.TrimSpace(l), " ")
		if key == "now" {
			f.now = parseMoment(t, value)
			continue
		}
		if key == "job" {
			source, rest, _ := strings.Cut(value, " ")
			kind, expr, _ := strings.Cut(rest, ": ")
			j := Job{ID: ID{source, strings.TrimSuffix(kind, ":")}}
			if source == hostName {
				j.ID.Source = ""
			}
			if expr != "" {
				j.Expr = mustParse(t, expr)
			}
			f.jobs = append(f.jobs, j)
			continue
		}
		f.more(t, key, value)
	}
	return f
}

func (f *facts) more(t *testing.T, key, value string) {
	t.Helper()
	j := &f.jobs[len(f.jobs)-1]
	s := f.states[j.ID]
	at := func(text string) time.Time { return momentIn(t, text, f.now.Location()) }
	switch key {
	case "after":
		j.After = append(j.After, parseID(t, value))
	case "longest":
		j.Longest = ok(time.ParseDuration(value))(t)
	case "tries":
		j.Retry.Tries = ok(strconv.Atoi(value))(t)
	case "forbid":
		j.Hours.Forbid = mustWindows(t, value)
	case "seen":
		s.Seen = at(value)
	case "started":
		s = s.Started(at(value))
	case "ended": // ended 2026-11-20 02:40 done | failed: disk full
		moment, how, _ := strings.Cut(value, ", ")
		outcome, why, _ := strings.Cut(how, ": ")
		var err error
		if why != "" {
			err = errors.New(why)
		}
		s = s.Ended(*j, at(moment), Outcome(outcome), err)
	case "crashed":
		s = s.Crashed(*j)
	case "event":
		moment, rest, _ := strings.Cut(value, ", ")
		cause, detail, _ := strings.Cut(rest, ": ")
		s.Event = &Event{Cause(cause), at(moment), detail}
	case "paused", "source-paused":
		since, rest, _ := strings.Cut(value, ", ")
		p := &Pause{Since: at(since)}
		if until, isUntil := strings.CutPrefix(rest, "until "); isUntil {
			p.Until = at(until)
		} else {
			p.By, p.Reason, _ = strings.Cut(rest, ": ")
		}
		if key == "source-paused" {
			f.states[ID{Source: j.ID.Source}] = State{Paused: p}
			return
		}
		s.Paused = p
	default:
		t.Fatalf("unknown fact %q", key)
	}
	f.states[j.ID] = s
}

func parseID(t *testing.T, text string) ID {
	t.Helper()
	var id ID
	if err := id.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestValidate(t *testing.T) {
	id := func(source string) ID { return ID{source, "base/full"} }
	job := func(source string, after ...string) Job {
		j := Job{ID: id(source)}
		for _, a := range after {
			j.After = append(j.After, id(a))
		}
		return j
	}
	for name, c := range map[string]struct {
		jobs []Job
		want string
	}{
		"good":       {[]Job{job("a"), job("b", "a"), job("c", "a", "b"), {ID: ID{Kind: "sweep"}}}, ""},
		"cycle":      {[]Job{job("x", "a"), job("a", "b"), job("b", "c"), job("c", "a")}, "order jobs: each of these waits for the next: a base/full → b base/full → c base/full → a base/full"},
		"self":       {[]Job{job("a", "a")}, "order jobs: each of these waits for the next: a base/full → a base/full"},
		"twice":      {[]Job{job("a"), job("a")}, "order jobs: there are two of a base/full"},
		"unknown":    {[]Job{job("a", "b")}, "order jobs: a base/full comes after b base/full, which does not exist"},
		"no kind":    {[]Job{{ID: ID{Source: "a"}}}, `order jobs: "" of "a" is no name: a kind is needed, and no spaces`},
		"with space": {[]Job{{ID: ID{"a b", "drill"}}}, `order jobs: "drill" of "a b" is no name: a kind is needed, and no spaces`},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := Validate(c.jobs); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestStateIsKept(t *testing.T) {
	job := Job{ID: ID{"orders", "base/full"}}
	at := time.Date(2026, 11, 20, 2, 30, 0, 7, time.UTC)
	s := State{Seen: at}.Started(at).Ended(job, at.Add(time.Minute), Failed, errors.New("disk full"))
	s.Event = &Event{Request, at, "anna asked for it"}
	s.Paused = &Pause{Since: at, By: "anna"}
	states := map[ID]State{job.ID: s, {Kind: "sweep"}: {}, {Source: "orders"}: {Paused: s.Paused}}
	data, err := json.Marshal(states)
	if err != nil {
		t.Fatal(err)
	}
	var back map[ID]State
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(states, back); diff != "" {
		t.Error(diff)
	}
}

type permanentError struct{ error }

func (permanentError) SafeToRetry() bool { return false }

func TestTries(t *testing.T) {
	job := Job{ID: ID{"orders", "base/full"}}
	at := time.Date(2026, 11, 20, 2, 30, 0, 0, time.UTC)
	var s State
	for try, want := range []time.Duration{time.Minute, 2 * time.Minute, 0} {
		s = s.Started(at).Ended(job, at, Failed, errors.New("disk full"))
		if wait := s.Retry.Sub(at); want > 0 && (wait < want/2 || wait > want) || want == 0 && !s.Retry.IsZero() {
			t.Errorf("after try %d it waits %v, want half of %v or more", try+1, wait, want)
		}
	}
	if !s.gaveUp() || s.Tries != 0 {
		t.Errorf("after three tries: %+v", s)
	}
	if s = s.Started(at).Ended(job, at, Failed, fmt.Errorf("take base: %w", permanentError{errors.New("no such table")})); !s.gaveUp() {
		t.Errorf("what cannot be helped by another try has one: %+v", s)
	}
	for range 3 {
		s = s.Started(at).Crashed(job)
	}
	if !s.gaveUp() {
		t.Errorf("a job with which the daemon ended three times goes on: %+v", s)
	}
}

func TestEventBounds(t *testing.T) {
	for _, c := range []struct {
		size, bound int64
		want        bool
		detail      string
	}{
		{12 << 30, 10 << 30, true, "there are 12 GiB of log since the last base, bound 10 GiB"},
		{1<<30 + 1<<29, 10 << 30, false, "there are 1.5 GiB of log since the last base, bound 10 GiB"},
		{999, 0, false, "there are 999 B of log since the last base, bound 0 B"},
	} {
		if e, due := LogGrown(c.size, c.bound, time.Time{}); due != c.want || e.Detail != c.detail {
			t.Errorf("%d of %d: %v, %q", c.size, c.bound, due, e.Detail)
		}
	}
	if e, due := ReplayNear(8*time.Minute, 10*time.Minute, time.Time{}); !due || e.Detail != "a restore is forecast to take 8m of an RTO of 10m" {
		t.Errorf("8 of 10 minutes: %v, %q", due, e.Detail)
	}
	if _, due := ReplayNear(7*time.Minute, 10*time.Minute, time.Time{}); due {
		t.Error("7 of 10 minutes are near")
	}
}
