package watch

import (
	"context"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/policy"
	"github.com/backstaydb/backstay/internal/schedule"
)

// factsOf puts together what is known of a source. The caller holds its lock.
func factsOf(s *watched, st api.Source, jobs []policy.Job, now time.Time) policy.Facts {
	f := policy.Facts{Source: s.Name, Protected: s.Since, Drills: s.Drills, Jobs: jobs}
	if st.Error != "" {
		f.Trouble = policy.Trouble{Text: st.Error, Since: s.since("source", st.Error, now)}
	} else {
		s.since("source", "", now)
	}
	for _, r := range st.Repositories {
		f.Repositories = append(f.Repositories, s.repository(r, s.histories[r.Name], now))
	}
	newest := s.newest()
	f.Restore = newest.restore()
	f.Restore.LogRate = max(0, s.meter("log").rate(newest.logBytes+st.SpoolBytes, now))
	f.Spool = policy.Room{Bytes: st.SpoolBytes, Limit: st.SpoolLimit, Rate: s.meter("spool").rate(st.SpoolBytes, now)}
	if st.HeldBytes > 0 && st.HeldLimit > 0 {
		f.Held = policy.Room{Bytes: st.HeldBytes, Limit: st.HeldLimit, Rate: s.meter("held").rate(st.HeldBytes, now)}
	}
	return f
}

// repository is one repository as policy takes it.
func (s *watched) repository(r api.Repository, h seen, now time.Time) policy.Repository {
	out := policy.Repository{
		Name: r.Name, Lag: time.Duration(r.LagSeconds * float64(time.Second)), LagBytes: r.LagBytes,
		Trouble: policy.Trouble{Text: r.Error, Since: s.since("repository "+r.Name, r.Error, now), Do: r.Hint},
		Windows: h.windows, Gaps: h.gaps,
	}
	c := s.Checks[r.Name]
	out.Checked, out.DeepChecked, out.Damage, out.DamageSince = c.Shallow, c.Deep, c.Damage, c.Since
	if !h.ages.shallow.IsZero() {
		out.Checked = h.ages.shallow
	}
	if !h.ages.deep.IsZero() {
		out.DeepChecked = h.ages.deep
	}
	return out
}

// jobs are all jobs as policy takes them, by source.
func (w *Watch) jobs() map[string][]policy.Job {
	jobs := map[string][]policy.Job{}
	for _, d := range w.runner.Plan() {
		state := w.runner.State(d.Job)
		j := policy.Job{Name: d.Job.Kind, Why: d.Reason, Tries: state.Tries}
		if d.Act == schedule.Hold || d.Act == schedule.Start {
			j.Due = d.Since
		}
		if state.Outcome == schedule.Failed || state.Outcome == schedule.Overran {
			j.Trouble = policy.Trouble{Text: state.Error, Since: state.End}
		}
		jobs[d.Job.Source] = append(jobs[d.Job.Source], j)
	}
	return jobs
}

// drillRun is a report as policy takes it.
func drillRun(r drill.Report) policy.DrillRun {
	return policy.DrillRun{
		Time: r.Ended, Repository: r.Repository, Verdict: policy.Verdict(r.Verdict), Reason: r.Reason,
		Timing: policy.Timing{LaidBytes: r.LaidBytes, LogBytes: r.LogBytes, LaySeconds: r.LaySeconds, FetchSeconds: r.FetchSeconds,
			ReplaySeconds: r.ReplaySeconds, StartSeconds: r.StartSeconds},
	}
}

// drillsKept is on how many drills a forecast rests.
const drillsKept = 12

// drilled adds a drill to what is known. The caller holds the lock.
func (s *watched) drilled(r policy.DrillRun) {
	for _, old := range s.Drills {
		if old.Time.Equal(r.Time) {
			return
		}
	}
	s.Drills = append(s.Drills, r)
	if n := len(s.Drills) - drillsKept; n > 0 {
		s.Drills = s.Drills[n:]
	}
}

// since tells since when an error stands: the first time that something, whatever its words, was wrong.
func (s *watched) since(what, text string, now time.Time) time.Time {
	if s.troubles == nil {
		s.troubles = map[string]time.Time{}
	}
	if text == "" {
		delete(s.troubles, what)
		return time.Time{}
	}
	if s.troubles[what].IsZero() {
		s.troubles[what] = now
	}
	return s.troubles[what]
}

func (s *watched) meter(name string) *meter {
	if s.meters[name] == nil {
		s.meters[name] = &meter{}
	}
	return s.meters[name]
}

// meter measures how fast something grows, over half a minute at least and two at most.
type meter struct {
	at, before       time.Time
	bytes, bytesThen int64
}

const meterSpan = 30 * time.Second

// rate is in bytes a second; zero as long as too little was seen.
func (m *meter) rate(bytes int64, now time.Time) float64 {
	if m.at.IsZero() {
		m.at, m.bytes, m.before, m.bytesThen = now, bytes, now, bytes
	}
	if now.Sub(m.at) >= meterSpan {
		m.before, m.bytesThen, m.at, m.bytes = m.at, m.bytes, now, bytes
	}
	took := now.Sub(m.before)
	if took < meterSpan {
		return 0
	}
	return float64(bytes-m.bytesThen) / took.Seconds()
}

// look reads the histories of all repositories again and again: windows change with bases, gaps, and what is forgotten.
func (w *Watch) look(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		for _, s := range w.c.Sources {
			w.lookAt(ctx, w.sources[s.Name])
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-w.changed:
		}
	}
}

// lookAt reads the histories of one source, and once the drill reports that others made.
func (w *Watch) lookAt(ctx context.Context, s *watched) {
	for _, name := range s.Everywhere() {
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		f, err := w.c.Eyes.Facts(limited, s.Name, name)
		cancel()
		known := ages{at: w.c.Now()}
		if shallow, deep, err := w.c.Eyes.Ages(ctx, s.Name, name); err == nil { // an index: without it the last rounds count
			known.shallow, known.deep = shallow, deep
		}
		s.mu.Lock()
		now := s.histories[name]
		if err == nil || now.at.IsZero() {
			now = see(f.History, w.c.Now())
		}
		now.ages = known
		s.histories[name] = now
		s.mu.Unlock()
	}
	w.trigger(ctx, s)
	w.readOn(ctx, s)
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	reports, err := w.c.Eyes.Drills(limited, s.Name)
	if err != nil {
		return // the repositories' own trouble is shown where it arises
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range reports {
		s.drilled(drillRun(r))
	}
}
