package history

import (
	"cmp"
	"slices"
	"time"
)

// Windows lists the intervals that can be recovered to, in order of position. A window may run through forks: it
// then follows the parent up to the fork and the child from there. What the parent holds beyond the fork is a
// window of its own, marked Abandoned. A hole in time splits a window, though its positions join.
func (h History) Windows() []Window {
	return newFamily(h).windows()
}

func (f *family) windows() []Window {
	var all []Window
	for _, timeline := range f.timelines {
		left, abandoned := f.leftAt(timeline)
		for _, w := range f.line(timeline).windows(left) {
			w.Abandoned = abandoned
			all = append(all, w)
		}
	}
	slices.SortStableFunc(all, func(a, b Window) int {
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), a.Since.Compare(b.Since))
	})
	return all
}

// windows lists what the bases of the line reach beyond seq after.
func (l *line) windows(after uint64) []Window {
	var merged []Window
	for _, b := range l.bases {
		end, ok := l.reaches(b)
		if !ok || slices.ContainsFunc(merged, func(w Window) bool { return w.holds(b, end) }) {
			continue
		}
		path, _ := l.path(b)
		merged = mergeWindows(append(merged, l.walk(b, path, after)...))
	}
	return merged
}

// holds reports whether a base that reaches end adds nothing to a window.
func (w Window) holds(b Base, end uint64) bool {
	return w.Start.Seq <= b.Stop.Seq && end <= w.End.Seq && !b.StopTime.Before(w.Since) && !b.StopTime.After(w.Until)
}

// walk splits one path at its holes in time and leaves out what ends at or before seq after.
func (l *line) walk(b Base, path []edge, after uint64) []Window {
	var found []Window
	w := point(b.ID, b.Stop, b.StopTime)
	for _, e := range path {
		switch {
		case e.to <= b.Stop.Seq: // The base alone needs it.
			w.Until = later(w.Until, e.Until)
			continue
		case e.Since.After(w.Until):
			found = append(found, w)
			w = point(b.ID, w.End, e.Since)
		}
		if after > 0 && e.from < after && w.Start.Seq < after {
			w = point(b.ID, l.position(min(e.to, after)), later(w.Until, e.Since))
		}
		w.End, w.Until = e.end(l), later(w.Until, e.Until)
		if w.End.Seq <= after {
			w = point(b.ID, w.End, w.Until)
		}
	}
	if until, ok := l.wholeAt(w.End.Seq); ok {
		w.Until = later(w.Until, until)
	}
	found = append(found, w)
	return slices.DeleteFunc(found, func(w Window) bool { return after > 0 && w.End.Seq <= after })
}

func point(base string, at Position, t time.Time) Window {
	return Window{Base: base, Start: at, End: at, Since: t, Until: t}
}

// mergeWindows joins what overlaps in position and in time.
func mergeWindows(all []Window) []Window {
	slices.SortStableFunc(all, func(a, b Window) int { return cmp.Or(a.Since.Compare(b.Since), a.Start.Compare(b.Start)) })
	var merged []Window
	for _, w := range all {
		i := slices.IndexFunc(merged, func(m Window) bool {
			return w.Start.Seq <= m.End.Seq && m.Start.Seq <= w.End.Seq && !w.Since.After(m.Until)
		})
		if i < 0 {
			merged = append(merged, w)
			continue
		}
		if m := &merged[i]; w.End.Seq > m.End.Seq {
			m.End = w.End
		}
		merged[i].Until = later(merged[i].Until, w.Until)
	}
	return merged
}
