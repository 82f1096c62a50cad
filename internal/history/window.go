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
	var all []Window
	for _, timeline := range h.timelines() {
		l := newLine(h, timeline)
		left, abandoned := h.leftAt(timeline)
		if abandoned {
			all = append(all, l.windows(left, true)...)
		} else if timeline == h.newestOfTree(timeline) {
			all = append(all, l.windows(0, false)...)
		}
	}
	slices.SortStableFunc(all, func(a, b Window) int {
		return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End), a.Since.Compare(b.Since))
	})
	return all
}

// timelines lists every timeline that anything is known of, in ascending order.
func (h History) timelines() []uint32 {
	var all []uint32
	for _, b := range h.Bases {
		all = append(all, b.Stop.Timeline)
	}
	for _, s := range h.Segments {
		all = append(all, s.To.Timeline)
	}
	for _, f := range h.Forks {
		all = append(all, f.Child)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// newestOfTree is the newest timeline that descends from the same first timeline as the given one: the one that
// the source went on with.
func (h History) newestOfTree(timeline uint32) uint32 {
	root := ancestry(h.Forks, timeline)[0].timeline
	newest := timeline
	for _, other := range h.timelines() {
		if ancestry(h.Forks, other)[0].timeline == root {
			newest = max(newest, other)
		}
	}
	return newest
}

// leftAt says where the source left the timeline for the one it went on with, if it did.
func (h History) leftAt(timeline uint32) (seq uint64, left bool) {
	current := ancestry(h.Forks, h.newestOfTree(timeline))
	for _, own := range slices.Backward(ancestry(h.Forks, timeline)) {
		i := slices.IndexFunc(current, func(s stretch) bool { return s.timeline == own.timeline })
		if i >= 0 {
			return min(own.until, current[i].until), i < len(current)-1 || own.timeline != timeline
		}
	}
	return 0, false
}

// windows lists what the bases of the line reach beyond seq after.
func (l *line) windows(after uint64, abandoned bool) []Window {
	var all []Window
	for _, b := range l.bases {
		if path, ok := l.path(b); ok {
			all = append(all, l.walk(b, path, after)...)
		}
	}
	slices.SortStableFunc(all, func(a, b Window) int {
		return cmp.Or(a.Since.Compare(b.Since), a.Start.Compare(b.Start))
	})
	merged := mergeWindows(all)
	for i := range merged {
		merged[i].Abandoned = abandoned
	}
	return merged
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
func mergeWindows(sorted []Window) []Window {
	var merged []Window
	for _, w := range sorted {
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
