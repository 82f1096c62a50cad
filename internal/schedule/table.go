package schedule

import "time"

// table is jobs and their states, linked.
type table struct {
	entries []*entry
	byID    map[ID]*entry
	sources map[string]*source
}

// entry is one job.
type entry struct {
	job   Job
	state State
	after []*entry
	cause Cause // of the run that is running

	next    time.Time // the first slot that is not served; zero for never
	hasNext bool

	queued
}

// source is what the jobs of one source share.
type source struct {
	busy  *entry // running; nil when none is
	pause *Pause
}

// newTable links jobs, which Validate has found good, or else leaves out what is not.
func newTable(jobs []Job, states map[ID]State) *table {
	t := &table{byID: make(map[ID]*entry, len(jobs)), sources: map[string]*source{}}
	for i, j := range jobs {
		e := &entry{job: j, state: states[j.ID]}
		e.order = i
		t.entries = append(t.entries, e)
		t.byID[j.ID] = e
		src := t.sources[j.ID.Source]
		if src == nil {
			src = &source{pause: states[ID{Source: j.ID.Source}].Paused}
			t.sources[j.ID.Source] = src
		}
		if e.state.Running {
			src.busy = e
		}
	}
	for _, e := range t.entries {
		for _, id := range e.job.After {
			if on := t.byID[id]; on != nil {
				e.after = append(e.after, on)
			}
		}
	}
	return t
}

// settle makes what was remembered fit for now: a job that was never seen is from now on, and no time is far in the future.
// It returns the jobs that it changed.
func (t *table) settle(now time.Time) []ID {
	var changed []ID
	for _, e := range t.entries {
		s := e.state.Sane(now)
		if s.Seen.IsZero() && s.Start.IsZero() {
			s.Seen = now
		}
		if s != e.state {
			e.state, e.hasNext = s, false
			changed = append(changed, e.job.ID)
		}
	}
	return changed
}

// slot returns the first slot that no run has served.
func (t *table) slot(e *entry, now time.Time) time.Time {
	if !e.hasNext {
		e.next = e.job.timing().Next(later(e.state.Seen, e.state.Start).In(now.Location()))
		e.hasNext = true
	}
	return e.next
}

// pause returns the pause that holds for e at now, its own or its source's.
func (t *table) pause(e *entry, now time.Time) *Pause {
	if e.state.Paused.at(now) {
		return e.state.Paused
	}
	if p := t.sources[e.job.ID.Source].pause; p.at(now) {
		return p
	}
	return nil
}

// title is the job in words with its expression before it: "daily full base".
func (e *entry) title() string {
	title := e.job.Words
	if title == "" {
		title = e.job.Expr.title()
	}
	if title != "" {
		return title + " " + e.job.ID.noun()
	}
	return e.job.ID.noun()
}
