package policy

import "time"

// Judge says which promises of one source are broken at now, the worst first, and what to hand in the next time. It changes
// nothing that it was given.
func Judge(o Objectives, f Facts, m Memory, now time.Time) ([]Finding, Memory) {
	j := &judge{o: o, f: f, now: now}
	for _, look := range []func(){j.durability, j.copies, j.window, j.coverage, j.drills, j.checks, j.restoreTime, j.rooms, j.disks, j.jobs} {
		look()
	}
	findings, next := m.next(j.breaches, now)
	for i := range findings {
		findings[i].Exception = o.Exception(findings[i], now)
	}
	sortFindings(findings)
	return findings, next
}

// judge collects breaches.
type judge struct {
	o        Objectives
	f        Facts
	now      time.Time
	breaches []breach
}

func (j *judge) add(b breach) {
	b.Source = j.f.Source
	j.breaches = append(j.breaches, b)
}

// protected is since when promises can be broken at all.
func (j *judge) protected() time.Time {
	if j.f.Protected.IsZero() {
		return j.now
	}
	return j.f.Protected
}
