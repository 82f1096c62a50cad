package schedule

import (
	"context"
	"fmt"
	"time"
)

// An UnknownJobError says that there is no such job or source.
type UnknownJobError struct{ Job ID }

func (e *UnknownJobError) Error() string { return "find job " + e.Job.String() + ": there is none" }

// Hint says where jobs are listed.
func (e *UnknownJobError) Hint() string { return `"backstay plan" lists all jobs` }

// Plan returns what Due says of all jobs now; of those that may start but have no place, that they wait for one.
func (r *Runner) Plan() []Decision {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	decisions := make([]Decision, len(r.t.entries))
	for i, e := range r.t.entries {
		decisions[i] = r.decide(e, now)
	}
	return decisions
}

func (r *Runner) decide(e *entry, now time.Time) Decision {
	d := r.t.judge(e, now)
	if d.Act != Start {
		return d
	}
	busy, bound, what := len(r.running), r.c.Bounds.All, ""
	if of := r.c.Bounds.Class[e.job.Class]; busy < bound && of > 0 {
		busy, bound, what = r.line.class(e.job.Class).busy, of, " of "+e.job.Class
	}
	if busy >= bound {
		d.Act = Hold
		d.Reason += fmt.Sprintf("; it waits for a place, for there are %d%s and all are taken", bound, what)
	}
	return d
}

// State returns what is remembered of a job, or of a source.
func (r *Runner) State(id ID) State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state(id)
}

// Replace puts other jobs in the place of those there are. What is running runs on; what is remembered of a job that went stays,
// should it come back.
func (r *Runner) Replace(jobs []Job) error {
	if err := Validate(jobs); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setJobs(jobs, r.now())
	r.kick()
	return nil
}

func (r *Runner) setJobs(jobs []Job, now time.Time) {
	if r.t != nil {
		for _, e := range r.t.entries {
			r.states[e.job.ID] = e.state
		}
	}
	r.t = newTable(jobs, r.states)
	busy := r.line.classes
	r.line = line{}
	for name, c := range busy {
		r.line.busy(name, c.busy)
	}
	for id, b := range r.running {
		if e := r.t.byID[id]; e != nil {
			e.cause = b.task.Decision.Cause
		} else if src := r.t.sources[id.Source]; src != nil {
			src.busy = &entry{job: b.task.Job, state: r.states[id]}
		}
	}
	r.lookAtAll(now)
}

// lookAtAll decides anew about every job.
func (r *Runner) lookAtAll(now time.Time) {
	for _, id := range r.t.settle(now) {
		r.dirty[id] = true
	}
	r.line.parked = nil
	for _, e := range r.t.entries {
		r.line.sleep(e, now)
	}
}

// Trigger makes a job due once, and returns what that leads to. While the job runs, events are not kept: what they are
// about is being done. An event that waits to be served is replaced, unless a person asked for it.
func (r *Runner) Trigger(ctx context.Context, id ID, event Event) (Decision, error) {
	r.mu.Lock()
	e := r.t.byID[id]
	if e == nil {
		r.mu.Unlock()
		return Decision{}, &UnknownJobError{id}
	}
	now := r.now()
	if event.At.IsZero() {
		event.At = now
	}
	if had := e.state.Event; !e.state.Running && (had == nil || !had.asked()) {
		e.state.Event = &event
		r.dirty[id] = true
		r.line.sleep(e, now)
	}
	d := r.decide(e, now)
	r.mu.Unlock()
	r.save(ctx)
	r.kick()
	return d, nil
}

// Pause keeps a job, or with an ID without a kind all jobs of a source, from beginning, and stops what is running of it:
// that goes on when it is resumed.
func (r *Runner) Pause(ctx context.Context, id ID, p Pause) error {
	if p.Since.IsZero() {
		p.Since = r.now()
	}
	return r.setPause(ctx, id, &p)
}

// Resume ends a pause. A pause of a source does not hide that of its job: each is resumed by itself.
func (r *Runner) Resume(ctx context.Context, id ID) error { return r.setPause(ctx, id, nil) }

func (r *Runner) setPause(ctx context.Context, id ID, p *Pause) error {
	if err := r.pause(id, p); err != nil {
		return err
	}
	r.save(ctx)
	r.kick()
	return nil
}

func (r *Runner) pause(id ID, p *Pause) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, src := r.t.byID[id], r.t.sources[id.Source]
	switch {
	case id.Kind == "" && src != nil:
		src.pause = p
		s := r.states[id]
		s.Paused = p
		r.states[id] = s
	case e != nil:
		e.state.Paused = p
	default:
		return fmt.Errorf("pause: %w", &UnknownJobError{id})
	}
	r.dirty[id] = true
	now := r.now()
	if p.at(now) {
		for job, b := range r.running {
			if job == id || id.Kind == "" && job.Source == id.Source {
				b.end(&PausedError{job, *p})
			}
		}
	}
	r.lookAtAll(now) // others may have waited for it, or will again
	return nil
}

// end tells a run to stop.
func (b *run) end(cause error) {
	b.stop = cause
	if b.cancel != nil {
		b.cancel(cause)
	}
}
