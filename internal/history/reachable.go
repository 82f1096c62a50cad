package history

import "time"

// unreachable names the points nearest to a target that no window holds.
func (h History) unreachable(t Target) error {
	e := &UnreachableError{Source: h.Source, Target: t, Reason: h.reason(t)}
	for _, w := range h.windowsFor(t) {
		if t.after(w.End, w.Until) && (e.Before == nil || t.nearer(w.End, w.Until, *e.Before)) {
			e.Before = &Moment{Position: w.End, Time: w.Until}
		}
		if t.before(w.Start, w.Since) && (e.After == nil || t.nearer(w.Start, w.Since, *e.After)) {
			e.After = &Moment{Position: w.Start, Time: w.Since}
		}
	}
	return e
}

// windowsFor lists the windows in which the target is looked for.
func (h History) windowsFor(t Target) []Window {
	switch {
	case t.Position.Timeline != 0:
		return newLine(h, t.Position.Timeline).windows(0, false)
	case t.Kind == AtPosition:
		return h.Windows()
	default:
		return h.mainWindows()
	}
}

// after reports whether the target lies after a reachable point.
func (t Target) after(p Position, at time.Time) bool {
	if t.Kind == AtPosition {
		return t.Position.Seq > p.Seq
	}
	return t.Kind == AtTime && t.Time.After(at)
}

// before reports whether the target lies before a reachable point.
func (t Target) before(p Position, at time.Time) bool {
	if t.Kind == AtPosition {
		return t.Position.Seq < p.Seq
	}
	return t.Kind == AtTime && t.Time.Before(at)
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
