package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// world is a pipeline with its state, on a clock that the test sets.
type world struct {
	t    *testing.T
	p    pipeline
	s    *State
	now  time.Time
	sent []Message
}

func newWorld(t *testing.T, routes map[string]Route, order ...string) *world {
	w := &world{t: t, s: newState(), now: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)}
	ids := 0
	w.p = pipeline{host: "db1", id: func() string { ids++; return fmt.Sprintf("m%d", ids) }}
	for _, name := range order {
		w.p.lanes = append(w.p.lanes, lane{name, routes[name], stages(name, routes[name])})
	}
	return w
}

// report reports current and steps.
func (w *world) report(current ...Notice) {
	matters := make([]Matter, len(current))
	for i, c := range current {
		matters[i].Notice = c.tidied("db1", w.now)
	}
	w.s.report("policy", matters, w.now)
	w.step()
}

func (w *world) step(events ...Notice) {
	w.sent = append(w.sent, w.p.step(w.s, events, w.now)...)
}

// pass lets d go by, a second at a time for a minute, then a minute at a time.
func (w *world) pass(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		step := time.Minute
		if end.Sub(w.now) <= time.Minute {
			step = time.Second
		}
		w.now = w.now.Add(step)
		w.step()
	}
}

// told returns what was sent since the last call, one line a change: "slack began critical orders".
func (w *world) told() string {
	var b strings.Builder
	for _, m := range w.sent {
		fmt.Fprintf(&b, "%s %s:", m.Receiver, m.Kind)
		for _, c := range m.Changes {
			fmt.Fprintf(&b, " %s-%s-%s", c.Kind, c.Severity, c.Fingerprint)
			if c.Held {
				b.WriteString("-held")
			}
			if c.Escalated {
				b.WriteString("-escalated")
			}
			if c.Flapping > 0 {
				b.WriteString("-flapping")
			}
		}
		b.WriteString("\n")
	}
	w.sent = nil
	return b.String()
}

func (w *world) want(lines ...string) {
	w.t.Helper()
	got := strings.TrimSpace(w.told())
	if want := strings.Join(lines, "\n"); got != want {
		w.t.Errorf("at %s told:\n%s\nwant:\n%s", w.now.Format(time.DateTime), got, want)
	}
}

func rpo(source string, s Severity) Notice {
	return Notice{Fingerprint: "rpo/" + source, Objective: "rpo", Source: source, Class: "critical", Severity: s, Reason: "12s of commits are not durable"}
}

func TestToldWhenItBeginsRisesLastsAndEnds(t *testing.T) {
	w := newWorld(t, map[string]Route{"slack": {At: Warning}}, "slack")
	w.report(rpo("a", Warning))
	w.want("")
	w.pass(moment)
	w.want("slack changes: began-warning-rpo/a")
	w.report(rpo("a", Warning))
	w.pass(time.Hour)
	w.want("")
	w.report(rpo("a", Critical))
	w.pass(time.Minute)
	w.want("slack changes: rose-critical-rpo/a")
	w.report(rpo("a", Warning))
	w.pass(time.Hour)
	w.report(rpo("a", Critical))
	w.pass(time.Hour)
	w.want("") // It did not rise above what was told.
	w.pass(day)
	w.want("slack changes: lasts-critical-rpo/a")
	w.report()
	w.pass(time.Minute)
	w.want("slack changes: ended-critical-rpo/a")
	w.pass(3 * day)
	w.want("")
	if len(w.s.Matters) != 0 || len(w.s.Desks["slack"].Told) != 0 {
		t.Errorf("state keeps %v, %v", w.s.Matters, w.s.Desks["slack"].Told)
	}
}

func TestRoutesBySeveritySourceAndClass(t *testing.T) {
	w := newWorld(t, map[string]Route{
		"all": {}, "critical": {At: Critical}, "b": {Sources: []string{"b"}}, "class": {Classes: []string{"critical"}},
	}, "all", "critical", "b", "class")
	other := rpo("b", Critical)
	other.Class = "standard"
	host := Notice{Fingerprint: "disk", Objective: "disk", Severity: Warning, Reason: "of no source"}
	w.report(rpo("a", Warning), other, host)
	w.pass(time.Minute)
	w.want(
		"all changes: began-critical-rpo/b began-warning-disk began-warning-rpo/a",
		"critical changes: began-critical-rpo/b",
		"b changes: began-critical-rpo/b began-warning-disk",
		"class changes: began-warning-disk began-warning-rpo/a",
	)
	other.Severity = Warning
	w.report(other)
	w.pass(time.Minute)
	w.told()
	w.report()
	w.pass(time.Minute)
	if got := w.told(); !strings.Contains(got, "critical changes: ended-warning-rpo/b") {
		t.Errorf("who was told of it does not hear the end of what became milder:\n%s", got)
	}
}

func TestStormIsOneMessage(t *testing.T) {
	w := newWorld(t, map[string]Route{"slack": {}}, "slack")
	var all []Notice
	for i := range 200 {
		all = append(all, rpo(fmt.Sprintf("db%03d", i), Critical))
		if i%50 == 0 {
			w.report(all...)
		}
	}
	w.now = w.now.Add(time.Second)
	w.report(all...)
	w.pass(5 * time.Second)
	if len(w.sent) != 1 || len(w.sent[0].Changes) != 200 {
		t.Fatalf("%d messages for one storm", len(w.sent))
	}
	if m := w.sent[0]; len(m.Text) > 3*chatLength || len([]rune(m.Text)) > chatLength || !strings.Contains(m.Text, "200 sources") {
		t.Errorf("text of %d characters:\n%s", len([]rune(m.Text)), m.Text)
	}
}

func TestLongStormIsThrottled(t *testing.T) {
	w := newWorld(t, map[string]Route{"slack": {}}, "slack")
	var all []Notice
	for i := range 720 {
		all = append(all, rpo(fmt.Sprintf("db%03d", i), Warning))
		w.now = w.now.Add(5 * time.Second)
		w.report(all...)
	}
	told, worst := 0, time.Duration(0)
	for i, m := range w.sent {
		told += len(m.Changes)
		if i > 0 {
			worst = max(worst, m.At.Sub(w.sent[i-1].At))
		}
	}
	if len(w.sent) > 100 || told < 640 || worst > longMoment+5*time.Second {
		t.Errorf("%d messages with %d changes, at most %v apart", len(w.sent), told, worst)
	}
	w.told()
	w.pass(time.Hour)
	w.told()
	start := w.now
	w.report(append(all, rpo("late", Critical))...)
	w.pass(10 * time.Second)
	if len(w.sent) != 1 || w.sent[0].At.Sub(start) > 3*time.Second {
		t.Errorf("after the storm a notice waits: %v", w.sent)
	}
}

func TestQuietHours(t *testing.T) {
	hours, err := ParseHours("22:00-07:00 Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, map[string]Route{"slack": {Quiet: hours}}, "slack")
	w.now = time.Date(2026, 3, 2, 22, 0, 0, 0, time.UTC) // 23:00 in Berlin
	w.report(rpo("a", Warning), rpo("b", Warning), rpo("c", Warning), rpo("d", Critical))
	w.pass(time.Minute)
	w.want("slack changes: began-critical-rpo/d")
	w.report(rpo("a", Warning), rpo("c", Critical))
	w.pass(time.Minute)
	w.want("slack changes: began-critical-rpo/c ended-critical-rpo/d")
	w.step(Notice{Fingerprint: "gap", Objective: "gap", Severity: Warning, Reason: "a gap"}.tidied("db1", w.now))
	w.now = time.Date(2026, 3, 3, 5, 59, 0, 0, time.UTC)
	w.step()
	w.want("")
	w.pass(time.Minute + moment)
	w.want("slack changes: began-warning-rpo/a-held happened-warning-gap-held passed-warning-rpo/b-held")
	w.report()
	w.pass(time.Minute)
	w.want("slack changes: ended-critical-rpo/c ended-warning-rpo/a")
}

func TestEscalation(t *testing.T) {
	w := newWorld(t, map[string]Route{"slack": {}, "mail": {At: Critical, EscalateAfter: 15 * time.Minute}}, "slack", "mail")
	w.report(rpo("lasts", Critical), rpo("ends", Critical), rpo("known", Critical))
	w.pass(5 * time.Minute)
	w.told()
	w.s.Matters["rpo/known"].Known = "anna"
	w.report(rpo("lasts", Critical), rpo("known", Critical))
	w.pass(10*time.Minute - 5*time.Second)
	w.want("slack changes: ended-critical-rpo/ends")
	w.pass(10 * time.Second)
	w.want("mail changes: began-critical-rpo/lasts-escalated")
	w.report()
	w.pass(time.Minute)
	w.want("slack changes: ended-critical-rpo/known ended-critical-rpo/lasts", "mail changes: ended-critical-rpo/lasts")
}

func TestAcknowledgedUntilItRises(t *testing.T) {
	w := newWorld(t, map[string]Route{"slack": {}}, "slack")
	w.report(rpo("a", Warning))
	w.pass(time.Minute)
	w.s.Matters["rpo/a"].Known = "anna"
	w.told()
	w.pass(6 * day)
	w.want("")
	w.pass(day)
	w.want("slack changes: lasts-warning-rpo/a")
	w.report(rpo("a", Critical))
	w.pass(time.Minute)
	w.want("slack changes: rose-critical-rpo/a")
	w.pass(day)
	w.want("slack changes: lasts-critical-rpo/a")
}

func TestDailySummary(t *testing.T) {
	daily, err := ParseClock("02:30 Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, map[string]Route{"mail": {Daily: daily, Zone: daily.zone}}, "mail")
	w.p.summary = func(time.Time) string { return "203 sources, all promises kept." }
	w.now = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
	w.report(rpo("a", Warning))
	w.pass(time.Minute)
	w.told()
	// Clocks go from 02:00 to 03:00 that night: 02:30 is skipped.
	w.pass(13*time.Hour - 2*time.Minute)
	w.want("")
	w.pass(2 * time.Minute)
	if len(w.sent) != 1 || !strings.Contains(w.sent[0].Body, "203 sources") {
		t.Fatalf("sent %v", w.sent)
	}
	w.want("mail summary: lasts-warning-rpo/a")
	w.report()
	w.pass(time.Minute)
	w.want("mail changes: ended-warning-rpo/a")
	// In autumn 02:30 comes twice.
	w.now = time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC)
	w.step()
	w.told()
	w.pass(20 * time.Hour)
	w.want("mail summary:")
}

// A year of matters that flap at every pace gives a bounded number of messages, and none is forgotten at the end.
func TestYearOfFlapping(t *testing.T) {
	w := newWorld(t, map[string]Route{"slack": {}}, "slack")
	periods := []time.Duration{5 * time.Minute, 20 * time.Minute, 2 * time.Hour, 7 * time.Hour, 13 * time.Hour}
	perMatter := make([]int, len(periods))
	begin, flips, on := w.now, make([]int, len(periods)), make([]bool, len(periods))
	days := 365
	if testing.Short() {
		days = 60
	}
	for w.now.Sub(begin) < time.Duration(days)*day {
		var current []Notice
		for i, p := range periods {
			was := on[i]
			on[i] = int64(w.now.Sub(begin)/p)%2 == 0
			if on[i] {
				current = append(current, rpo(fmt.Sprint(i), Critical))
				if !was {
					flips[i]++
				}
			}
		}
		w.report(current...)
		for _, m := range w.sent {
			for _, c := range m.Changes {
				perMatter[c.Source[0]-'0']++
			}
		}
		w.sent = nil
		w.now = w.now.Add(5 * time.Minute)
	}
	for i, n := range perMatter {
		// What flaps all day is told once a day; what comes less than four times a day, each time.
		if limit := min(2*flips[i], days*2*often); n > limit || n < days-5 || periods[i] < 4*time.Hour && n > days+35 {
			t.Errorf("flapping every %v: %d changes told in %d days", periods[i], n, days)
		}
	}
	w.report()
	w.pass(2 * day)
	if len(w.s.Matters) != 0 || len(w.s.Desks["slack"].Told) != 0 {
		t.Errorf("after all is over the state keeps %v", w.s.Desks["slack"].Told)
	}
	t.Logf("told %v", perMatter)
}

func TestEventsAreToldOnce(t *testing.T) {
	s := newState()
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	e := Notice{Fingerprint: "gap/orders", Since: at}
	if !s.happen(e, at) || s.happen(e, at.Add(time.Hour)) {
		t.Error("the same event is new twice")
	}
	e.Since = at.Add(time.Second)
	if !s.happen(e, at) {
		t.Error("another event is not new")
	}
}
