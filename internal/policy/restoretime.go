package policy

import (
	"fmt"
	"time"
)

const (
	restorePatience = time.Minute
	restoreRest     = 10 * time.Minute
	foresight       = 24 * time.Hour // how far the forecast looks where no next base is planned
)

// restoreTime looks whether a restore would take too long, now or before the next base.
func (j *judge) restoreTime() {
	r := j.f.Restore
	if j.o.RTO <= 0 || r.LayBytes+r.LogBytes == 0 {
		return
	}
	f := NewForecast(j.f.Drills, r)
	b := breach{Finding: Finding{Objective: RTO, Severity: Warning, Since: j.now}, patience: restorePatience, rest: restoreRest}
	next := r.NextBase
	if next.IsZero() {
		next = j.now.Add(foresight)
	}
	breaks, ok := f.Breaks(j.o.RTO, j.now)
	limit := fmt.Sprintf("(limit %s)", span(j.o.RTO))
	switch {
	case f.Expected > j.o.RTO:
		b.Reason = fmt.Sprintf("a restore takes %s %s", f, limit)
		if f.Drills > 0 {
			b.Severity = Critical
		}
	case ok && breaks.Before(next):
		b.Reason = fmt.Sprintf("a restore takes %s, and more than is promised in %s %s: the log grows by %s an hour", f, span(breaks.Sub(j.now)), limit, size(int64(r.LogRate*3600)))
		if !r.NextBase.IsZero() {
			b.Reason += fmt.Sprintf(", and the next base is due in %s", span(r.NextBase.Sub(j.now)))
		}
	case f.High > j.o.RTO:
		b.Reason = fmt.Sprintf("a restore takes %s and may take too long %s", f, limit)
	default:
		return
	}
	b.Do = j.remedy(f, ok && breaks.Before(next))
	j.add(b)
}

// remedy names what helps most; grown says that it is the log behind the base that is too much, or will be.
func (j *judge) remedy(f Forecast, grown bool) string {
	switch {
	case f.Drills == 0:
		return "run a drill, so that it is measured: backstay drill " + j.f.Source
	case grown && f.Lay+f.Start <= j.o.RTO, f.Fetch+f.Replay > f.Lay:
		return "take a base now, so that less log is replayed: backstay backup " + j.f.Source
	case f.Guessed || f.Expected <= j.o.RTO:
		return "run more drills, so that the forecast is surer: backstay drill " + j.f.Source
	default:
		return "keep a repository nearer to where it is restored, or promise a longer time"
	}
}
