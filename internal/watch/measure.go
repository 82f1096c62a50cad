package watch

import (
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/policy"
)

// promises are all that was promised for a source, with what was measured, and with the worst finding about each.
func promises(o policy.Objectives, f policy.Facts, findings []policy.Finding, now time.Time) []api.Promise {
	var list []api.Promise
	add := func(objective policy.Objective, bound, measured time.Duration) {
		if bound > 0 {
			list = append(list, api.Promise{Objective: string(objective), Kept: true, Bound: bound.Seconds(), Measured: measured.Seconds()})
		}
	}
	add(policy.RPO, o.RPO, lagOf(f.Repositories, max(o.Copies, 1)))
	add(policy.RTO, o.RTO, policy.NewForecast(f.Drills, f.Restore).Expected)
	add(policy.Window, o.Window, reach(f.Repositories, now))
	add(policy.Drill, o.DrillAge, since(f, now, provedLast(f.Drills)))
	add(policy.Check, o.CheckAge, since(f, now, oldest(f.Repositories, func(r policy.Repository) time.Time { return r.Checked })))
	add(policy.DeepCheck, o.DeepCheckAge, since(f, now, oldest(f.Repositories, func(r policy.Repository) time.Time { return r.DeepChecked })))
	for _, finding := range findings {
		i := slices.IndexFunc(list, func(p api.Promise) bool { return p.Objective == string(finding.Objective) })
		if i < 0 {
			list = append(list, api.Promise{Objective: string(finding.Objective), Kept: true})
			i = len(list) - 1
		}
		if list[i].Kept { // findings come worst first
			p := &list[i]
			p.Kept, p.Severity, p.Since, p.Reason, p.Do, p.Repository = false, string(finding.Severity), finding.Since, finding.Reason, finding.Do, finding.Repository
			if e := finding.Exception; e != nil {
				p.Exception = e.Reason + " (" + e.By + ", until " + e.End.Format(time.DateOnly) + ")"
			}
		}
	}
	return list
}

// lagOf is by how much the k-th best repository is behind.
func lagOf(repositories []policy.Repository, k int) time.Duration {
	var lags []time.Duration
	for _, r := range repositories {
		lags = append(lags, r.Lag)
	}
	slices.Sort(lags)
	if len(lags) < k {
		return 0
	}
	return lags[k-1]
}

// reach is how far back one can go, in the repository that reaches farthest.
func reach(repositories []policy.Repository, now time.Time) time.Duration {
	var farthest time.Duration
	for _, r := range repositories {
		for _, win := range r.Windows {
			farthest = max(farthest, now.Sub(win.Since))
		}
	}
	return farthest
}

func provedLast(drills []policy.DrillRun) (at time.Time) {
	for _, d := range drills {
		if d.Verdict == policy.Proved && d.Time.After(at) {
			at = d.Time
		}
	}
	return at
}

// oldest is the time of the repository that is worst off; zero if one has none.
func oldest(repositories []policy.Repository, of func(policy.Repository) time.Time) time.Time {
	var at time.Time
	for i, r := range repositories {
		if t := of(r); i == 0 || t.Before(at) {
			at = t
		}
	}
	return at
}

// since is the time from at, or from the begin of the protection where nothing was done yet.
func since(f policy.Facts, now, at time.Time) time.Duration {
	if at.IsZero() {
		at = f.Protected
	}
	return now.Sub(at)
}
