package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/metrics"
	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/policy"
)

// scope is whose notices these are.
const scope = "policy"

// judge asks policy once a second.
func (w *Watch) judge(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if st, err := w.c.Eyes.Status(ctx); err == nil {
			w.judgeAll(ctx, st)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// judgeAll judges all sources, and tells what came of it.
func (w *Watch) judgeAll(ctx context.Context, st api.Status) {
	now := w.c.Now()
	var notices []notify.Notice
	var made []metrics.Promise
	var broken []metrics.Finding
	kept := map[string][]api.Promise{}
	jobs, sources := w.jobs(), w.all()
	for _, source := range st.Sources {
		s := sources[source.Name]
		if s == nil {
			continue
		}
		findings, facts := w.judgeOne(ctx, s, source, jobs[s.Name], now)
		kept[s.Name] = promises(s.objectives, facts, findings, now)
		for _, f := range findings {
			broken = append(broken, metrics.Finding{Source: s.Name, Objective: string(f.Objective), Severity: string(f.Severity), Excepted: f.Exception != nil})
			if f.Exception == nil {
				notices = append(notices, w.notice(s, f))
			}
		}
		for _, p := range kept[s.Name] {
			made = append(made, metrics.Promise{Source: s.Name, Objective: p.Objective, Measured: seconds(p.Measured), Bound: seconds(p.Bound)})
		}
	}
	if w.c.Notifier != nil {
		w.c.Notifier.Report(scope, notices)
	}
	if w.c.Metrics != nil {
		w.c.Metrics.SetPromises(made, broken)
	}
	w.mu.Lock()
	w.kept, w.judged = kept, now
	w.mu.Unlock()
}

// judgeOne judges one source, and writes down what began and what ended.
func (w *Watch) judgeOne(ctx context.Context, s *watched, st api.Source, jobs []policy.Job, now time.Time) ([]policy.Finding, policy.Facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	facts := factsOf(s, st, jobs, now)
	findings, memory := policy.Judge(s.objectives, facts, s.Memory, now)
	before := s.told
	s.told = map[string]policy.Finding{}
	for _, f := range findings {
		s.told[f.Key()] = f
		if _, ok := before[f.Key()]; !ok && before != nil {
			w.write(ctx, audit.Entry{What: audit.Policy, Source: s.Name, Repository: f.Repository, Why: f.Reason, Outcome: audit.Failed, Objects: []string{string(f.Objective)}})
		}
	}
	for key, f := range before {
		if _, ok := s.told[key]; !ok {
			w.write(ctx, audit.Entry{What: audit.Policy, Source: s.Name, Repository: f.Repository, Why: fmt.Sprintf("the %s promise is kept again", f.Objective), Outcome: audit.OK, Objects: []string{string(f.Objective)}})
		}
	}
	changed := before == nil || len(before) != len(s.told) || now.Sub(s.noted) > time.Minute
	s.Memory = memory
	if changed {
		s.noted = now
		w.note(ctx, s)
	}
	return findings, facts
}

// notice is a finding as people are told.
func (w *Watch) notice(s *watched, f policy.Finding) notify.Notice {
	severity := notify.Warning
	if f.Severity == policy.Critical {
		severity = notify.Critical
	}
	return notify.Notice{Fingerprint: f.Key(), Objective: string(f.Objective), Source: s.Name, Class: s.Class, Severity: severity,
		Since: f.Since, Reason: f.Reason, Do: f.Do}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// write writes an audit entry; a log that takes nothing stops nothing, and is told.
func (w *Watch) write(ctx context.Context, e audit.Entry) {
	if err := w.c.Audit(context.WithoutCancel(ctx), e); err != nil {
		w.c.Log.Error("the audit log takes nothing", "err", err)
	}
}
