package schedule

import (
	"errors"
	"time"
)

// Outcome is how a run ended.
type Outcome string

const (
	Done        Outcome = "done"
	Failed      Outcome = "failed"
	Overran     Outcome = "overran"     // it was stopped after its longest duration
	Interrupted Outcome = "interrupted" // by a crash, the daemon's end, or a pause: it goes on as soon as it may
)

// State is what is remembered of one job. The zero State is a job never seen. It marshals to JSON, so that whoever keeps it need
// not know it; times are to the nanosecond and in any zone.
type State struct {
	Seen    time.Time `json:"seen,omitzero"`  // when it was first known: its first slot is the next after that
	Start   time.Time `json:"start,omitzero"` // of the last run; slots up to here are served
	End     time.Time `json:"end,omitzero"`   // of the last run that ended, however
	Running bool      `json:"running,omitempty"`
	Outcome Outcome   `json:"outcome,omitempty"` // of the last run that ended
	Error   string    `json:"error,omitempty"`   // of the last run that ended; "" when done
	Tries   int       `json:"tries,omitempty"`   // failed runs since the last that was done or had no tries left
	Retry   time.Time `json:"retry,omitzero"`    // when the next try may begin; zero when none is to come
	Event   *Event    `json:"event,omitempty"`   // not served yet
	Paused  *Pause    `json:"paused,omitempty"`
}

// Pause says that a job, or all of a source, does not begin.
type Pause struct {
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero means until it is resumed
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// at reports whether the pause holds at now.
func (p *Pause) at(now time.Time) bool {
	return p != nil && (p.Until.IsZero() || now.Before(p.Until))
}

// Started returns s after a run began at now: what was due up to now, it serves.
func (s State) Started(now time.Time) State {
	s.Start, s.Running, s.Event, s.Retry = now, true, nil, time.Time{}
	if s.Seen.IsZero() {
		s.Seen = now
	}
	return s
}

// Ended returns s after the run of j ended at now. An err that has a method SafeToRetry and says false ends the tries.
func (s State) Ended(j Job, now time.Time, outcome Outcome, err error) State {
	s.Running, s.End, s.Outcome, s.Error, s.Retry = false, now, outcome, "", time.Time{}
	if err != nil {
		s.Error = err.Error()
	}
	retry := j.Retry.withDefaults()
	switch {
	case outcome == Done:
		s.Tries = 0
	case outcome == Interrupted:
		// It was not its fault: it keeps its tries.
	case s.Tries+1 >= retry.Tries || !safeToRetry(err):
		s.Tries = 0
	default:
		s.Tries++
		at := j.ID.String() + s.Start.UTC().Format(time.RFC3339)
		s.Retry = now.Add(retry.Wait.Delay(s.Tries, func() float64 { return fraction(at) }))
	}
	return s
}

// Crashed returns s as a daemon finds it that starts: a run of j that never ended was interrupted. It costs a try, so that a job
// that brings the host down does not do so for ever.
func (s State) Crashed(j Job) State {
	if !s.Running {
		return s
	}
	s.Running, s.End, s.Outcome, s.Error = false, s.Start, Interrupted, "the daemon ended during the run"
	if s.Tries++; s.Tries >= j.Retry.withDefaults().Tries {
		s.Tries, s.Outcome = 0, Failed
	}
	return s
}

// backstep is how far a clock may go back without meaning that it was wrong before: time servers correct by less.
const backstep = 10 * time.Minute

// Sane returns s with times in the future set to now: the clock was ahead when they were written, and a job
// must not wait until it is there again.
func (s State) Sane(now time.Time) State {
	for _, t := range []*time.Time{&s.Seen, &s.Start, &s.End} {
		if t.After(now.Add(backstep)) {
			*t = now
		}
	}
	if s.Event != nil && s.Event.At.After(now) {
		e := *s.Event
		e.At = now
		s.Event = &e
	}
	return s
}

// gaveUp reports whether the last run failed and none is to follow it.
func (s State) gaveUp() bool {
	return !s.Running && s.Retry.IsZero() && (s.Outcome == Failed || s.Outcome == Overran)
}

func safeToRetry(err error) bool {
	var is interface{ SafeToRetry() bool }
	return !errors.As(err, &is) || is.SafeToRetry()
}
