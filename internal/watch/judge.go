package watch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/metrics"
	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/policy"
)

// scope is whose notices these are.
const scope = "policy"

// judgeEvery is how often policy is asked: what it finds is told within five seconds. At first it is asked sooner, as somebody waits
// to see that all is well.
const (
	judgeEvery = 2 * time.Second
	judgeFirst = 250 * time.Millisecond
	judgeSoon  = 10 * time.Second // for so long
)

// judge asks policy again and again.
func (w *Watch) judge(ctx context.Context) error {
	tick, began, soon := time.NewTicker(judgeFirst), w.c.Now(), true
	defer tick.Stop()
	for {
		if soon && w.c.Now().Sub(began) > judgeSoon {
			tick.Reset(judgeEvery)
			soon = false
		}
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
		if facts != nil {
			kept[s.Name] = promises(s.objectives, *facts, findings, now)
		}
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

// judgeOne judges one source, and writes down what began and what ended. As long as too little is known of it, what was found before
// lasts, and there are no facts: or each start of a daemon would tell that all is well, and then that it is not.
func (w *Watch) judgeOne(ctx context.Context, s *watched, st api.Source, jobs work, now time.Time) ([]policy.Finding, *policy.Facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if unknown := !s.looked || st.State == "starting"; unknown && now.Sub(w.began) < settling {
		return s.lasting(now), nil
	}
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
	for i, f := range findings {
		if f.Resting { // how long it rests is of no interest to those who are told
			findings[i].Reason = memory[f.Key()].Finding.Reason
		}
	}
	return findings, &facts
}

// lasting is what was found, and told, before this daemon began. The caller holds the lock.
func (s *watched) lasting(now time.Time) []policy.Finding {
	var findings []policy.Finding
	for _, key := range slices.Sorted(maps.Keys(s.Memory)) {
		if e := s.Memory[key]; e.Told {
			f := e.Finding
			f.Exception = s.objectives.Exception(f, now)
			findings = append(findings, f)
		}
	}
	return findings
}

// notice is a finding as people are told.
func (w *Watch) notice(s *watched, f policy.Finding) notify.Notice {
	severity := notify.Warning
	if f.Severity == policy.Critical {
		severity = notify.Critical
	}
	return notify.Notice{Fingerprint: fingerprint(string(f.Objective), s.Name, f.Repository, f.Part), Objective: string(f.Objective), Source: s.Name, Class: s.Class, Severity: severity,
		Since: f.Since, Reason: f.Reason, Do: f.Do}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// write writes an audit entry; a log that takes nothing stops nothing, and is told.
func (w *Watch) write(ctx context.Context, e audit.Entry) {
	if err := w.c.Audit(context.WithoutCancel(ctx), e); err != nil {
		w.c.Log.Error("the audit log takes nothing", "err", err)
	}
}
