package watch

import (
	"context"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/schedule"
)

// Promises are how the promises of a source stood when they were judged last; nil before that.
func (w *Watch) Promises(source string) []api.Promise {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept[source]
}

// Plan is what is due and what comes, in the order of time.
func (w *Watch) Plan() []api.Job {
	var jobs []api.Job
	for _, d := range w.runner.Plan() {
		state := w.runner.State(d.Job)
		jobs = append(jobs, api.Job{Source: d.Job.Source, Kind: d.Job.Kind, State: string(d.Act), Since: d.Since, Next: d.Next, Reason: d.Reason,
			Last: state.End, LastOutcome: string(state.Outcome), LastError: state.Error})
	}
	return jobs
}

// Pause keeps a source, or one of its jobs, from beginning anything.
func (w *Watch) Pause(ctx context.Context, source, kind, by, reason string, until time.Time) error {
	id := schedule.ID{Source: source, Kind: kind}
	err := w.runner.Pause(ctx, id, schedule.Pause{Since: w.c.Now(), Until: until, By: by, Reason: reason})
	if err == nil {
		w.write(ctx, audit.Entry{What: audit.Pause, Source: source, Why: reason, Outcome: audit.OK, Who: audit.Who{User: by}})
	}
	return err
}

// Resume ends a pause.
func (w *Watch) Resume(ctx context.Context, source, kind, by string) error {
	err := w.runner.Resume(ctx, schedule.ID{Source: source, Kind: kind})
	if err == nil {
		w.write(ctx, audit.Entry{What: audit.Resume, Source: source, Why: "asked for", Outcome: audit.OK, Who: audit.Who{User: by}})
	}
	return err
}

// RunNow makes a job due, and says what that leads to.
func (w *Watch) RunNow(ctx context.Context, source, kind, by string) (string, error) {
	d, err := w.runner.Trigger(ctx, schedule.ID{Source: source, Kind: kind}, schedule.Event{Cause: schedule.Request, At: w.c.Now(), Detail: by + " asked for it"})
	return d.Reason, err
}

// Signalled makes a base of a source due because a signal asked for it; ok is false where no base of it is ever scheduled.
func (w *Watch) Signalled(ctx context.Context, source string) (ok bool, err error) {
	s := w.all()[source]
	if s == nil {
		return false, nil
	}
	kinds := s.bases()
	if len(kinds) == 0 {
		return false, nil
	}
	_, err = w.runner.Trigger(ctx, schedule.ID{Source: source, Kind: KindBase + "/" + kinds[0]}, schedule.Event{Cause: schedule.Signal, At: w.c.Now(), Detail: "a signal asked for it"})
	return true, err
}

// wake has the repositories of a source looked at again. What finds no place is seen with the next round.
func (w *Watch) wake(source string) {
	select {
	case w.changed <- source:
	default:
	}
}
