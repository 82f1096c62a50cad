package watch

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/policy"
	"github.com/backstaydb/backstay/internal/schedule"
)

// factsOf puts together what is known of a source. The caller holds its lock.
func factsOf(s *watched, st api.Source, jobs work, now time.Time) policy.Facts {
	f := policy.Facts{Source: s.Name, Protected: s.Since, Drills: s.Drills, Jobs: jobs.all}
	trouble, since := troubleOf(st, time.Duration(s.RPO), now)
	f.Trouble = policy.Trouble{Text: trouble, Since: s.since("source", trouble, now)}
	if !since.IsZero() && since.Before(f.Trouble.Since) {
		f.Trouble.Since = since
	}
	for _, r := range st.Repositories {
		f.Repositories = append(f.Repositories, s.repository(r, s.histories[r.Name], now))
	}
	newest := s.newest()
	f.Restore = newest.restore()
	f.Restore.NextBase = jobs.base
	f.Restore.LogRate = max(0, s.meter("log").rate(newest.logBytes+st.SpoolBytes, now))
	f.Spool = policy.Room{Bytes: st.SpoolBytes, Limit: st.SpoolLimit, Rate: s.meter("spool").rate(st.SpoolBytes, now)}
	if st.HeldBytes > 0 && st.HeldLimit > 0 {
		f.Held = policy.Room{Bytes: st.HeldBytes, Limit: st.HeldLimit, Rate: s.meter("held").rate(st.HeldBytes, now)}
		if st.HeldRoom > 0 { // its disk may be full before
			f.Held.Limit = min(f.Held.Limit, st.HeldBytes+st.HeldRoom)
		}
	}
	return f
}

// shortestSilence is for how long nothing need be heard of a source: engines look at it once a second, and at a database that rests
// every five.
const shortestSilence = 8 * time.Second

// troubleOf is why nothing that a source commits can be recovered, and since when, where that is known; "" if all that it commits is.
func troubleOf(st api.Source, rpo time.Duration, now time.Time) (text string, since time.Time) {
	silent := now.Sub(st.Captured)
	switch {
	case st.Error != "":
		return st.Error, time.Time{}
	case st.State == "failing":
		return st.Text, time.Time{}
	case st.State == "healing":
		return "its log has a gap, and a new base has to be taken before anything newer can be recovered", lastDurable(st)
	case rpo > 0 && !st.Captured.IsZero() && silent > max(rpo, shortestSilence):
		return fmt.Sprintf("it was last heard of at %s", st.Captured.UTC().Format(time.TimeOnly)), st.Captured.Add(rpo)
	}
	return "", time.Time{}
}

// lastDurable is up to when some repository has all that was committed.
func lastDurable(st api.Source) (newest time.Time) {
	for _, r := range st.Repositories {
		if r.DurableTime.After(newest) {
			newest = r.DurableTime
		}
	}
	return newest
}

// repository is one repository as policy takes it.
func (s *watched) repository(r api.Repository, h seen, now time.Time) policy.Repository {
	out := policy.Repository{
		Name: r.Name, Lag: time.Duration(r.LagSeconds * float64(time.Second)), LagBytes: r.LagBytes,
		Trouble: policy.Trouble{Text: r.Error, Since: s.since("repository "+r.Name, r.Error, now), Do: r.Hint},
		Windows: h.windows, Gaps: h.gaps, Disk: s.disks[r.Name],
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

// work are the jobs of one source as policy takes them.
type work struct {
	all  []policy.Job
	base time.Time // when the next base is taken; zero: none is planned
}

// jobs are all jobs, by source.
func (w *Watch) jobs() map[string]work {
	jobs := map[string]work{}
	for _, d := range w.runner.Plan() {
		state := w.runner.State(d.Job)
		j := policy.Job{Name: d.Job.Kind, Why: d.Reason, Tries: state.Tries}
		if d.Act == schedule.Hold || d.Act == schedule.Start {
			j.Due = d.Since
		}
		if state.Outcome == schedule.Failed || state.Outcome == schedule.Overran {
			j.Trouble = policy.Trouble{Text: state.Error, Since: state.End}
		}
		of := jobs[d.Job.Source]
		of.all = append(of.all, j)
		if isBase(d.Job.Kind) && !d.Next.IsZero() && (of.base.IsZero() || d.Next.Before(of.base)) {
			of.base = d.Next
		}
		jobs[d.Job.Source] = of
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

// lookEvery is how often all repositories are looked at, besides after what was done to them; lookers is how many sources at once: one
// whose store hangs holds up no other.
const (
	lookEvery  = time.Minute
	lookSeldom = 10 * time.Minute // at what rests
	lookTime   = time.Minute
	lookers    = 4
)

// look reads the histories of all repositories again and again: windows change with bases, gaps, and what is forgotten.
func (w *Watch) look(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		var g errgroup.Group
		g.SetLimit(lookers)
		for _, s := range w.restless(ctx) {
			g.Go(func() error { w.lookAt(ctx, s); return nil })
		}
		_ = g.Wait() // none fails
		if err := w.lookAgain(ctx, tick.C); err != nil {
			return err
		}
	}
}

// restless are the sources at whose repositories one must look now: something came to them, others may have drilled for us, or it is long
// ago. Looking costs reading a ledger, and most sources of a large host rest.
func (w *Watch) restless(ctx context.Context) []*watched {
	ends := map[string]string{}
	if st, err := w.c.Eyes.Status(ctx); err == nil {
		for _, s := range st.Sources {
			for _, r := range s.Repositories {
				ends[s.Name] += r.Name + " " + r.Position.String() + "\n"
			}
		}
	}
	var list []*watched
	for _, s := range w.all() {
		s.mu.Lock()
		if end := ends[s.Name]; end != s.end || !s.Reads && !s.Drill.IsZero() || w.c.Now().Sub(s.lookedAt) >= lookSeldom {
			s.end = end
			list = append(list, s)
		}
		s.mu.Unlock()
	}
	return list
}

// lookAgain looks at sources to which something was done, until it is time for all.
func (w *Watch) lookAgain(ctx context.Context, all <-chan time.Time) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-all:
			return nil
		case name := <-w.changed:
			if s := w.all()[name]; s != nil {
				w.lookAt(ctx, s)
			}
		}
	}
}

// checks reads what other hosts found in a repository.
func (w *Watch) checks(ctx context.Context, source, repo string) ([]Checked, error) {
	limited, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return w.c.Eyes.Checks(limited, source, repo)
}

// lookAt reads the histories of one source, and the drill reports that others made.
func (w *Watch) lookAt(ctx context.Context, s *watched) {
	for _, name := range s.Everywhere() {
		limited, cancel := context.WithTimeout(ctx, lookTime)
		f, err := w.c.Eyes.Facts(limited, s.Name, name)
		cancel()
		w.room(ctx, s, name)
		checks, checksErr := w.checks(ctx, s.Name, name)
		known := ages{at: w.c.Now()}
		if shallow, deep, err := w.c.Eyes.Ages(ctx, s.Name, name); err == nil { // an index: without it the last rounds count
			known.shallow, known.deep = shallow, deep
		}
		s.mu.Lock()
		if checksErr == nil {
			s.Checks[name] = s.Checks[name].told(checks)
		}
		now := s.histories[name]
		if err == nil {
			now = see(f.History, w.c.Now())
		}
		now.ages = known
		s.histories[name] = now
		s.mu.Unlock()
	}
	w.trigger(ctx, s)
	w.readOn(ctx, s)
	limited, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	reports, err := w.c.Eyes.Drills(limited, s.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked, s.lookedAt = true, w.c.Now()
	if err != nil {
		return // the repositories' own trouble is shown where it arises
	}
	for _, r := range reports {
		s.drilled(drillRun(r))
	}
}
