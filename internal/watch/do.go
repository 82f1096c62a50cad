package watch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/metrics"
	"github.com/backstaydb/backstay/internal/schedule"
)

// result is what came of a job.
type result struct {
	detail  string
	objects []string
	bytes   int64
}

// do carries one task out, and writes down that it began and how it ended.
func (w *Watch) do(ctx context.Context, t schedule.Task) error {
	s := w.all()[t.Job.ID.Source]
	if s == nil {
		return fmt.Errorf("do %s: there is no such source", t.Job.ID)
	}
	kind, _, _ := strings.Cut(t.Job.ID.Kind, "/")
	began := w.c.Now()
	run := Run{ID: began.UTC().Format("20060102T150405.000000Z") + "-" + s.Name + "-" + strings.ReplaceAll(t.Job.ID.Kind, "/", "-"),
		Source: s.Name, Kind: t.Job.ID.Kind, Why: t.Decision.Reason, Began: began}
	w.remember(ctx, run)
	if w.c.Metrics != nil {
		w.c.Metrics.JobBegan(s.Name, t.Job.ID.Kind)
	}
	ctx = WithJob(ctx, run.ID)
	r, err := w.carryOut(ctx, s, t.Job.ID)
	run.Ended, run.Detail, run.Bytes = w.c.Now(), r.detail, r.bytes
	outcome, audited, measured := schedule.Done, audit.OK, metrics.Done
	switch {
	case err != nil && ctx.Err() != nil:
		outcome, audited, measured = schedule.Interrupted, audit.Stopped, metrics.Interrupted
	case err != nil:
		outcome, audited, measured = schedule.Failed, audit.Failed, metrics.Failed
	}
	run.Outcome = string(outcome)
	e := audit.Entry{Since: began, What: actions[kind], Who: audit.Who{Job: run.ID}, Source: s.Name, Objects: r.objects, Why: t.Decision.Reason, Outcome: audited, Bytes: r.bytes}
	if err != nil {
		run.Detail, e.Error = err.Error(), err.Error()
	}
	w.remember(ctx, run)
	w.write(ctx, e)
	if w.c.Metrics != nil {
		w.c.Metrics.JobEnded(s.Name, t.Job.ID.Kind, measured, run.Ended.Sub(began))
	}
	w.wake(s.Name)
	return err
}

// actions are the words of the audit log for the kinds of job.
var actions = map[string]audit.Action{
	KindBase: audit.Base, KindDrill: audit.Drill, KindCheck: audit.Check, KindDeepCheck: audit.Check, KindRetention: audit.Drop,
	KindFingerprint: audit.Taken,
}

func (w *Watch) remember(ctx context.Context, r Run) {
	if err := w.c.Book.AddRun(context.WithoutCancel(ctx), r); err != nil {
		w.c.Log.Warn("a run is not written down", "source", r.Source, "kind", r.Kind, "err", err)
	}
}

func (w *Watch) carryOut(ctx context.Context, s *watched, id schedule.ID) (result, error) {
	kind, _, _ := strings.Cut(id.Kind, "/")
	switch kind {
	case KindBase:
		b, err := w.c.Hands.Base(ctx, s.Name, baseType(id.Kind))
		if err != nil {
			return result{}, err
		}
		return result{detail: fmt.Sprintf("base %s at %s", b.ID, b.Position.Plain()), objects: []string{"base/" + b.ID}, bytes: b.StoredBytes}, nil
	case KindDrill:
		return w.drill(ctx, s)
	case KindFingerprint:
		return w.fingerprint(ctx, s)
	case KindCheck, KindDeepCheck:
		return w.check(ctx, s, kind == KindDeepCheck)
	case KindRetention:
		return w.forget(ctx, s)
	}
	return result{}, fmt.Errorf("do %s: nobody knows how", id)
}

// fingerprint has one taken. A source that does not let us is no job that failed: without one, drills prove what they proved before.
func (w *Watch) fingerprint(ctx context.Context, s *watched) (result, error) {
	taken, err := w.c.Hands.Fingerprint(ctx, s.Name)
	switch {
	case err != nil:
		return result{}, err
	case taken.ID == "":
		return result{detail: strings.TrimSuffix("none: "+taken.Refused+"; "+taken.Hint, "; ")}, nil
	}
	detail := fmt.Sprintf("%d rows in %d tables, at %s or just before", taken.Rows, taken.Tables, taken.Position.Plain())
	return result{detail: detail, objects: []string{"report/" + taken.ID}, bytes: taken.Bytes}, nil
}

// drill proves each target that was asked for. A backup that is bad is found, not a job that failed: it is told as a finding.
func (w *Watch) drill(ctx context.Context, s *watched) (result, error) {
	var out result
	var words []string
	var failed error
	for _, to := range s.Drill.Targets() {
		report, err := w.c.Hands.Drill(ctx, s.Name, to, s.Drill.Checks)
		if err != nil {
			return out, err
		}
		s.mu.Lock()
		s.drilled(drillRun(report))
		w.note(ctx, s)
		s.mu.Unlock()
		out.objects = append(out.objects, "report/"+report.ID())
		out.bytes += report.LaidBytes + report.LogBytes
		words = append(words, fmt.Sprintf("%s: %s", to, report.Verdict))
		if report.Verdict == drill.EnvironmentBad {
			failed = errors.Join(failed, fmt.Errorf("drill to %s: %s", to, report.Reason))
		}
	}
	out.detail = strings.Join(words, "; ")
	return out, failed
}

// damaged are the bases in which a check found damage.
func (s *watched) damaged(repository string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var bases []string
	for _, d := range s.Checks[repository].Damage {
		if rest, ok := strings.CutPrefix(d, s.Name+"/base/"); ok {
			id, _, _ := strings.Cut(rest, "/")
			bases = append(bases, strings.TrimSuffix(id, ":"))
		}
	}
	return bases
}
