package schedule

import (
	"fmt"
	"time"
)

// Act is what is to be done with a job now.
type Act string

const (
	Rest    Act = "rest"    // it is not due
	Start   Act = "start"   // it is due, and nothing is in its way
	Hold    Act = "hold"    // it is due, and waits
	Running Act = "running" // it is running
	Stop    Act = "stop"    // it is running longer than it may
)

// Decision is what is to be done with one job, and why.
type Decision struct {
	Job    ID
	Act    Act
	Cause  Cause     // why it is due; "" when it rests
	Since  time.Time // due, or running, since; zero when it rests
	Next   time.Time // when this decision can be another one by time alone; zero when only something that happens changes it
	On     ID        // the job that it waits for; zero when it waits for none
	Try    int       // which run of this occasion it is; the first is 1
	Reason string    // one sentence
}

// Due decides about each of jobs, in their order. It starts nothing. States of unknown jobs are ignored, but for those of
// whole sources, which carry a pause. Times without a zone are those of now.
//
// Whoever starts what it says, one after the other, asks again after each: of two jobs of one source it may say start of both.
func Due(jobs []Job, states map[ID]State, now time.Time) []Decision {
	t := newTable(jobs, states)
	t.settle(now)
	decisions := make([]Decision, len(t.entries))
	for i, e := range t.entries {
		decisions[i] = t.judge(e, now)
	}
	return decisions
}

// judge decides about one job.
func (t *table) judge(e *entry, now time.Time) Decision {
	d := Decision{Job: e.job.ID, Try: e.state.Tries + 1}
	if e.state.Running {
		return e.running(d, now)
	}
	d.Cause, d.Since, d.Reason = t.due(e, now)
	if p := t.pause(e, now); p != nil && !e.askedSince(p.Since) {
		return paused(d, p, now)
	}
	if d.Cause == "" {
		return t.rest(e, d, now)
	}
	if d.Since.After(now) {
		d.Act, d.Next, d.Reason = Hold, d.Since, d.Reason+"; it starts at "+clock(d.Since, now)
		return d
	}
	if until, why, on := t.inTheWay(e, d, now); why != "" {
		d.Act, d.Next, d.On, d.Reason = Hold, until, on, d.Reason+"; it waits "+why
		return d
	}
	d.Act = Start
	return d
}

func (e *entry) running(d Decision, now time.Time) Decision {
	d.Act, d.Cause, d.Since = Running, e.cause, e.state.Start
	d.Reason = fmt.Sprintf("%s runs since %s", e.job.ID.noun(), clock(d.Since, now))
	if d.Try > 1 {
		d.Reason += fmt.Sprintf(", try %d of %d", d.Try, e.job.Retry.withDefaults().Tries)
	}
	if e.job.Longest <= 0 {
		return d
	}
	if d.Next = d.Since.Add(e.job.Longest); d.Next.After(now) {
		return d
	}
	d.Act, d.Next = Stop, time.Time{}
	d.Reason += ", longer than its " + length(e.job.Longest) + ": it is told to stop"
	return d
}

// due returns why and since when e is due, or is going to be for certain; an empty cause when it is not.
func (t *table) due(e *entry, now time.Time) (Cause, time.Time, string) {
	s, what := e.state, e.job.ID.noun()
	if s.Event != nil && s.Event.asked() {
		return s.Event.Cause, s.Event.At, fmt.Sprintf("%s is due: %s", what, s.Event.Detail)
	}
	if s.Outcome == Interrupted {
		return Resume, s.Start, fmt.Sprintf("%s of %s was interrupted and goes on", what, clock(s.Start, now))
	}
	if at := e.retryAt(now); !at.IsZero() {
		return Retrying, at, fmt.Sprintf("%s %s at %s (%s), try %d of %d", what, s.Outcome, clock(s.End, now), s.Error, s.Tries+1, e.job.Retry.withDefaults().Tries)
	}
	slot := t.slot(e, now)
	if !slot.IsZero() && !slot.After(now) {
		return Slot, slot, fmt.Sprintf("%s is due since %s", e.title(), clock(slot, now))
	}
	if s.Event != nil {
		since := s.Event.At
		if s.gaveUp() {
			// What the event saw is still so after a failure: it must not start run after run.
			since = later(since, s.End.Add(e.job.Retry.withDefaults().Wait.Max))
		}
		return s.Event.Cause, since, fmt.Sprintf("%s is due: %s", what, s.Event.Detail)
	}
	return "", time.Time{}, ""
}

// retryAt is when the next try may begin; a time further away than any wait was written by a clock that was ahead.
func (e *entry) retryAt(now time.Time) time.Time {
	if e.state.Retry.After(now.Add(e.job.Retry.withDefaults().Wait.Max)) {
		return now
	}
	return e.state.Retry
}

func (e *entry) askedSince(t time.Time) bool {
	ev := e.state.Event
	return ev != nil && ev.asked() && !ev.At.Before(t)
}

func paused(d Decision, p *Pause, now time.Time) Decision {
	d.Act, d.Next = Hold, p.Until
	if d.Cause == "" || d.Since.After(now) {
		d.Act, d.Reason = Rest, d.Job.noun()
	}
	d.Reason += fmt.Sprintf("%s is paused since %s%s", map[Act]string{Hold: "; it", Rest: ""}[d.Act], clock(p.Since, now), p.by())
	if !p.Until.IsZero() {
		d.Reason += ", until " + clock(p.Until, now)
	}
	return d
}

func (t *table) rest(e *entry, d Decision, now time.Time) Decision {
	d.Act, d.Next = Rest, t.slot(e, now)
	switch {
	case e.job.Expr.IsZero():
		d.Reason = e.title() + " runs only when something asks for it"
	case d.Next.IsZero():
		d.Reason = e.title() + " never comes again"
	case e.state.Start.IsZero():
		d.Reason = e.title() + " comes first at " + clock(d.Next, now)
	default:
		d.Reason = fmt.Sprintf("%s comes next at %s; the last %s", e.title(), clock(d.Next, now), e.last(now))
	}
	return d
}

// last is how the last run ended.
func (e *entry) last(now time.Time) string {
	s := e.state
	switch s.Outcome {
	case Done:
		return "was done at " + clock(s.End, now)
	case "":
		return "began at " + clock(s.Start, now)
	default:
		return fmt.Sprintf("%s at %s: %s", s.Outcome, clock(s.End, now), s.Error)
	}
}

// inTheWay returns why a job that is due cannot start, "" when it can; until when that is, if time alone ends it; and the
// job it waits for, if it is one.
func (t *table) inTheWay(e *entry, d Decision, now time.Time) (until time.Time, why string, on ID) {
	if busy := t.sources[e.job.ID.Source].busy; busy != nil {
		why := fmt.Sprintf("for the %s of the same source, which runs since %s", busy.job.ID.noun(), clock(busy.state.Start, now))
		return time.Time{}, why, busy.job.ID
	}
	if d.Cause == Request || d.Cause == Signal {
		return time.Time{}, "", ID{}
	}
	if forbid := e.job.Hours.Forbid; forbid.Contains(now) {
		until := forbid.Until(now)
		if until.IsZero() {
			return until, "for hours that are not forbidden, and there are none", ID{}
		}
		return until, "for the end of the forbidden hours at " + clock(until, now), ID{}
	}
	if d.Cause == Slot || d.Cause == LogSize || d.Cause == Replay {
		return t.before(e, d, now)
	}
	return time.Time{}, "", ID{}
}

// before looks for a job that e comes after and that has not had its turn in this round: it runs or is due, or it will
// be before e is due again and has not ended since e last began.
func (t *table) before(e *entry, d Decision, now time.Time) (until time.Time, why string, on ID) {
	for _, dep := range e.after {
		if t.pause(dep, now) != nil {
			continue
		}
		id := dep.job.ID
		if dep.state.Running {
			return time.Time{}, fmt.Sprintf("for the %s, which runs since %s", id.of(), clock(dep.state.Start, now)), id
		}
		if cause, since, _ := t.due(dep, now); cause != "" {
			return time.Time{}, fmt.Sprintf("for the %s, which is due since %s", id.of(), clock(since, now)), id
		}
		if d.Cause != Slot || dep.state.End.After(e.state.Start) {
			continue
		}
		if slot := t.slot(dep, now); !slot.IsZero() && slot.Before(e.job.timing().Next(now)) {
			return slot, fmt.Sprintf("for the %s, which comes at %s", id.of(), clock(slot, now)), id
		}
	}
	return time.Time{}, "", ID{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
