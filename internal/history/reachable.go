package history

import (
	"cmp"
	"slices"
	"time"
)

// unreachable names the points nearest to a target that no window holds.
func (h History) unreachable(t Target) error {
	e := &UnreachableError{Source: h.Source, Target: t, Reason: h.reason(t)}
	f := newFamily(h)
	if n := t.Position.Timeline; n != 0 && !slices.Contains(f.timelines, n) {
		e.Timeline = n
		return e
	}
	for _, w := range f.windowsFor(t) {
		if t.from(w.End, w.Until) > 0 && (e.Before == nil || t.nearer(w.End, w.Until, *e.Before)) {
			e.Before = &Moment{Position: w.End, Time: w.Until}
		}
		if t.from(w.Start, w.Since) < 0 && (e.After == nil || t.nearer(w.Start, w.Since, *e.After)) {
			e.After = &Moment{Position: w.Start, Time: w.Since}
		}
	}
	return e
}

// windowsFor lists the windows in which the target is looked for.
func (f *family) windowsFor(t Target) []Window {
	switch {
	case t.Position.Timeline != 0:
		return f.line(t.Position.Timeline).windows(0)
	case t.Kind == AtPosition:
		return f.windows()
	default:
		return f.mainWindows()
	}
}

// from compares the target with a reachable point: below zero before it, above zero after it.
func (t Target) from(p Position, at time.Time) int {
	switch t.Kind {
	case AtTime:
		return t.Time.Compare(at)
	case AtPosition:
		return cmp.Compare(t.Position.Seq, p.Seq)
	default:
		return 0
	}
}

// nearer reports whether a point is nearer to the target than m is, both on the same side of it.
func (t Target) nearer(p Position, at time.Time, m Moment) bool {
	if t.Kind == AtPosition {
		return distance(t.Position.Seq, p.Seq) < distance(t.Position.Seq, m.Position.Seq)
	}
	return t.Time.Sub(at).Abs() < t.Time.Sub(m.Time).Abs()
}

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// reason is that of the gap in which the target lies, "" if it lies in none.
func (h History) reason(t Target) string {
	for _, g := range h.AllGaps() {
		inTime := t.Kind == AtTime && t.Time.After(g.Since) && (t.Time.Before(g.Until) || g.Until.IsZero())
		inLog := t.Kind == AtPosition && t.Position.Seq > g.From.Seq && (t.Position.Seq <= g.To.Seq || g.open())
		if inTime || inLog {
			return g.Reason
		}
	}
	return ""
}
