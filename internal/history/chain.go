package history

import (
	"fmt"
	"slices"
	"time"
)

// Chain finds what target is recovered from: the nearest base before it and the segments from there on. The error
// is *UnreachableError if no window holds the target. Custom targets must be resolved by their engine first.
//
// A time is looked for on the lines of history that the source went on with: moments on a timeline after the fork
// at which the source left it are reached only if Target.Position names that timeline. A position with timeline
// zero is looked for on the newest line that holds it.
func (h History) Chain(t Target) (Chain, error) {
	var find func(*line) (Chain, bool)
	f := newFamily(h)
	timelines := slices.Clone(f.timelines)
	switch t.Kind {
	case Latest:
		find = (*line).latest
	case Immediate:
		find = (*line).immediate
	case AtPosition:
		find = func(l *line) (Chain, bool) { return l.at(t.Position) }
	case AtTime:
		find = func(l *line) (Chain, bool) { return l.time(t.Time) }
		if t.Position.Timeline == 0 {
			timelines = slices.DeleteFunc(timelines, func(n uint32) bool { return n != f.current(n) })
		}
	default:
		return Chain{}, fmt.Errorf("find chain to %s: the engine must resolve this target first", t)
	}
	if t.Position.Timeline != 0 {
		timelines = slices.DeleteFunc(timelines, func(n uint32) bool { return n != t.Position.Timeline })
	}
	for _, timeline := range slices.Backward(timelines) {
		if c, ok := find(f.line(timeline)); ok {
			c.Target = t
			return c, nil
		}
	}
	return Chain{}, h.unreachable(t)
}

// latest is the chain that leads furthest; among equals the one with the newest base.
func (l *line) latest() (Chain, bool) {
	var best Base
	furthest, found := uint64(0), false
	for _, b := range l.bases {
		if end, ok := l.reaches(b); ok && end >= furthest {
			best, furthest, found = b, end, true
		}
	}
	if !found {
		return Chain{}, false
	}
	path, _ := l.path(best)
	c := l.chain(best, path, l.endOf(best, path))
	if until, ok := l.wholeAt(c.Stop.Seq); ok {
		c.Until = later(c.Until, until)
	}
	return c, true
}

// immediate is the newest base with the log that makes it consistent.
func (l *line) immediate() (Chain, bool) {
	for _, b := range slices.Backward(l.bases) {
		if path, ok := l.path(b); ok {
			return l.chain(b, upTo(b, path, b.Stop.Seq), b.Stop), true
		}
	}
	return Chain{}, false
}

// at is the chain to a sequence, from the base that is nearest before it.
func (l *line) at(p Position) (Chain, bool) {
	for _, b := range slices.Backward(l.bases) {
		if furthest, ok := l.reaches(b); !ok || p.Seq < b.Stop.Seq || p.Seq > furthest {
			continue
		}
		path, _ := l.path(b)
		stop := l.position(p.Seq)
		stop.Mark = p.Mark
		path = upTo(b, path, p.Seq)
		if end := l.endOf(b, path); end.Seq == p.Seq && p.Mark == "" {
			stop.Mark = end.Mark
		}
		return l.chain(b, path, stop), true
	}
	return Chain{}, false
}

// time is the chain to a moment, from the base that was consistent last before it.
func (l *line) time(t time.Time) (Chain, bool) {
	bases := slices.Clone(l.bases)
	slices.SortStableFunc(bases, func(a, b Base) int { return a.StopTime.Compare(b.StopTime) })
	for _, b := range slices.Backward(bases) {
		if b.StopTime.After(t) {
			continue
		}
		if path, ok := l.path(b); ok {
			if c, ok := l.until(b, path, t); ok {
				return c, true
			}
		}
	}
	return Chain{}, false
}

// until cuts a path at a moment: behind the last segment that can hold a commit of that moment or before.
func (l *line) until(b Base, path []edge, t time.Time) (Chain, bool) {
	n := len(upTo(b, path, b.Stop.Seq))
	covered := b.StopTime
	for _, e := range path[:n] {
		covered = later(covered, e.Until)
	}
	// A clock that was set back makes segments overlap in time, so that the one that covers t need not be the last.
	for _, e := range path[n:] {
		inside := !e.Since.IsZero() && e.Since.Before(t)
		if !inside && !covered.Before(t) || e.Since.After(t) && e.Since.After(covered) {
			break
		}
		covered = later(covered, later(e.Since, e.Until))
		n++
	}
	end := l.endOf(b, path[:n])
	exact := !covered.After(t)
	if whole, ok := l.wholeAt(end.Seq); ok {
		covered = later(covered, whole)
	}
	if covered.Before(t) {
		return Chain{}, false
	}
	c := l.chain(b, path[:n], Position{})
	if exact {
		c.Stop = end
	}
	c.Until = t
	return c, true
}

// chain makes the value.
func (l *line) chain(b Base, path []edge, stop Position) Chain {
	c := Chain{Base: b, Segments: make([]Segment, 0, len(path)), Stop: stop, Until: b.StopTime}
	points := slices.DeleteFunc(slices.Clone(l.points), func(p Segment) bool { return p.To.Seq < b.begin() })
	end := b.Stop.Seq
	for _, e := range path {
		for len(points) > 0 && points[0].To.Seq <= e.from {
			c.Segments, points = append(c.Segments, points[0]), points[1:]
		}
		c.Segments = append(c.Segments, e.Segment)
		c.Until, end = later(c.Until, e.Until), max(end, e.to)
	}
	for _, s := range l.stretches {
		if s.fork.Child != 0 && s.fork.At.Seq >= b.Stop.Seq && s.fork.At.Seq <= end && s.fork.Child > b.Stop.Timeline {
			c.Forks = append(c.Forks, s.fork)
		}
	}
	return c
}

// upTo is the beginning of a path that reaches seq.
func upTo(b Base, path []edge, seq uint64) []edge {
	n, at := 0, b.begin()
	for n < len(path) && at < seq {
		at = path[n].to
		n++
	}
	return path[:n]
}
