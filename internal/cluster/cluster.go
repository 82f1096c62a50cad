// Package cluster decides who is primary. It is pure: Decide takes the recorded state, what one observer sees, and now, and
// answers with one row of one table (table.go; drawn in docs/design/0006-availability.md). It starts nothing, so what would be done can be
// printed at any time, and the same function is run against a simulated world (package sim).
//
// A decision either changes the state or acts under the state that stands, never both: first the compare-and-swap, then, in
// the next round, the steps. So a keeper that dies half-way leaves nothing that the next one can't read, and steps are idempotent.
//
// A failover is a ballot. The claim raises the epoch; every member that is reached promises it on its disk, stops acknowledging
// for primaries of lower epochs, and tells its position. When len(Names)-K+1 of a recorded quorum have promised, two
// things are certain at once: the old primary can acknowledge nothing more, and the longest of these logs has all that it ever did.
// Proxies, which also serve reads, are fenced apart: each has confirmed, or the holder's tenure is over, and every route with it.
package cluster

import "time"

// Decision is what to do now and why: either a Next state to be swapped in, or Actions under the present one.
type Decision struct {
	Row     string // of the table
	Changes bool   // Next differs and must be swapped in before anything else
	Next    State
	Actions []Action
	Reason  string // one sentence for people
}

// Decide finds the row of the table that holds. It changes nothing that it is given.
func Decide(cfg Config, s State, v View, now time.Duration) Decision {
	l := &look{cfg: cfg, state: s, view: v, now: now}
	if l.state.Phase == "" {
		l.state.Phase = Forming
	}
	for i := range table {
		r := &table[i]
		if r.In == l.state.Phase && r.holds(l) {
			return r.decision(l)
		}
	}
	return Decision{Next: s, Reason: "no row of the table holds"} // not reached: TestEveryPhaseEndsInARowThatAlwaysHolds
}

func (r *Row) holds(l *look) bool {
	for _, c := range r.If {
		if c.holds(l) == c.not {
			return false
		}
	}
	return true
}

func (r *Row) decision(l *look) Decision {
	d := Decision{Row: r.Name, Next: l.state, Reason: r.Why(l)}
	if r.Change != nil {
		r.Change(l, &d.Next)
		d.Changes = true
		d.Next.Phase = r.To
		if r.To != r.In || d.Next.Request != l.state.Request { // bookkeeping of quorums says nothing of what led here
			d.Next.Row, d.Next.Reason = r.Name, d.Reason
		}
		d.Next.Step++
		return d
	}
	if r.Act != nil {
		d.Actions = r.Act(l)
	}
	return d
}
