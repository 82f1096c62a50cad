package schedule

import (
	"context"
	"errors"
	"time"
)

// An OverranError is the cause with which a task is stopped that took longer than it may.
type OverranError struct {
	Job     ID
	Longest time.Duration
}

func (e *OverranError) Error() string {
	return "run " + e.Job.String() + ": it took longer than its " + length(e.Longest)
}

// A PausedError is the cause with which a task is stopped because a person paused it. It goes on when it is resumed.
type PausedError struct {
	Job   ID
	Pause Pause
}

func (e *PausedError) Error() string {
	return "run " + e.Job.String() + ": it was paused" + e.Pause.by()
}

// carry does one task, from the memory that it began to the memory of how it ended.
func (r *Runner) carry(ctx context.Context, b *run) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.mu.Lock()
	b.cancel = cancel
	if b.stop != nil {
		cancel(b.stop)
	}
	r.mu.Unlock()
	r.save(ctx)
	job := b.task.Job
	if job.Longest > 0 {
		var release context.CancelFunc
		ctx, release = context.WithTimeoutCause(ctx, job.Longest, &OverranError{job.ID, job.Longest})
		defer release()
	}
	told := context.AfterFunc(ctx, func() {
		r.c.Log.Warn("job is told to stop", "job", job.ID, "cause", context.Cause(ctx))
	})
	err := r.c.Do(ctx, b.task)
	told()
	r.done(b, outcomeOf(ctx, err), err)
	r.save(ctx)
	r.kick()
}

func outcomeOf(ctx context.Context, err error) Outcome {
	var overran *OverranError
	switch {
	case err == nil:
		return Done
	case errors.As(context.Cause(ctx), &overran):
		return Overran
	case ctx.Err() != nil:
		return Interrupted
	default:
		return Failed
	}
}

// done remembers how a run ended, and looks again at what waited for it.
func (r *Runner) done(b *run, outcome Outcome, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, now := b.task.Job.ID, r.now()
	delete(r.running, id)
	r.dirty[id] = true
	r.line.busy(b.task.Job.Class, -1)
	if src := r.t.sources[id.Source]; src != nil && src.busy != nil && src.busy.job.ID == id {
		src.busy = nil
	}
	if e := r.t.byID[id]; e != nil {
		e.state, e.cause = e.state.Ended(e.job, now, outcome, err), ""
		r.line.sleep(e, now)
	} else {
		r.states[id] = r.states[id].Ended(b.task.Job, now, outcome, err)
	}
	for _, e := range r.line.unpark(id) {
		r.line.sleep(e, now)
	}
}

// saveTime bounds one save: a catalog that hangs must not keep jobs from running.
const saveTime = 10 * time.Second

// save saves all states that changed. Callers that come while one saves find theirs saved with the next.
func (r *Runner) save(ctx context.Context) {
	r.saving.Lock()
	defer r.saving.Unlock()
	r.flush(ctx)
}

// trySave is save, unless somebody saves right now.
func (r *Runner) trySave(ctx context.Context) {
	if r.saving.TryLock() {
		defer r.saving.Unlock()
		r.flush(ctx)
	}
}

func (r *Runner) unsaved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.dirty) > 0
}

func (r *Runner) flush(ctx context.Context) {
	r.mu.Lock()
	states := make(map[ID]State, len(r.dirty))
	for id := range r.dirty {
		states[id] = r.state(id)
	}
	clear(r.dirty)
	r.mu.Unlock()
	if len(states) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	if err := r.c.Keep.Save(ctx, states); err != nil {
		r.c.Log.Error("cannot save what the scheduler remembers", "jobs", len(states), "error", err)
		r.mu.Lock()
		for id := range states {
			r.dirty[id] = true
		}
		r.mu.Unlock()
	}
}

func (r *Runner) state(id ID) State {
	if e := r.t.byID[id]; e != nil {
		return e.state
	}
	return r.states[id]
}
