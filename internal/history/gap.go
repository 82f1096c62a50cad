package history

import (
	"cmp"
	"slices"
	"time"
)

// AllGaps lists the stretches after the first window that cannot be recovered to, in order: those between and after
// the windows, with the reason that was recorded for them, and recorded ones that no window has closed since.
func (h History) AllGaps() []Gap {
	f := newFamily(h)
	windows := f.mainWindows()
	gaps := f.between(windows)
	for _, recorded := range h.Gaps {
		if healed(recorded, windows) {
			continue
		}
		i := slices.IndexFunc(gaps, func(g Gap) bool { return overlap(recorded, g) })
		if i < 0 {
			gaps = append(gaps, recorded)
			continue
		}
		gaps[i].Reason = recorded.Reason
	}
	slices.SortStableFunc(gaps, func(a, b Gap) int {
		return cmp.Or(a.From.Compare(b.From), a.Since.Compare(b.Since), a.To.Compare(b.To))
	})
	return gaps
}

// mainWindows are the windows on the lines that the source went on with.
func (f *family) mainWindows() []Window {
	return slices.DeleteFunc(f.windows(), func(w Window) bool { return w.Abandoned })
}

// between computes the gaps that the windows leave, the last one up to the newest log that no base reaches.
func (f *family) between(windows []Window) []Gap {
	if len(windows) == 0 {
		return nil
	}
	var gaps []Gap
	last := windows[0]
	for _, w := range windows[1:] {
		switch {
		case last.End.Before(w.Start):
			gaps = append(gaps, Gap{From: last.End, To: w.Start, Since: last.Until, Until: later(last.Until, w.Since), Reason: breakReason(last, w)})
		case w.Since.After(last.Until):
			gaps = append(gaps, Gap{From: w.Start, To: w.Start, Since: last.Until, Until: w.Since, Reason: "nobody was watching"})
		}
		if last.End.Before(w.End) {
			last.End = w.End
		}
		last.Until = later(last.Until, w.Until)
	}
	if end, until := f.newestLog(); last.End.Before(end) {
		gaps = append(gaps, Gap{From: last.End, To: end, Since: last.Until, Until: later(last.Until, until),
			Reason: "log before this is missing, and no base was taken since"})
	}
	return gaps
}

func breakReason(a, b Window) string {
	if a.End.Timeline == b.Start.Timeline {
		return "log is missing"
	}
	return "the log broke off and a new base was taken"
}

// newestLog is the end of the last segment on any line that the source went on with.
func (f *family) newestLog() (end Position, until time.Time) {
	for _, timeline := range f.newest {
		l := f.line(timeline)
		for _, e := range l.entries {
			if p := e.end(l); end.Before(p) {
				end, until = p, e.Until
			}
		}
	}
	return end, until
}

// open reports whether the end of a gap is not known yet.
func (g Gap) open() bool { return g.To.Before(g.From) }

// healed reports whether a window holds all of a recorded gap, or of an open one what follows its beginning.
func healed(g Gap, windows []Window) bool {
	return slices.ContainsFunc(windows, func(w Window) bool {
		if g.From.Before(w.Start) || g.Since.Before(w.Since) {
			return false
		}
		if g.open() {
			return g.From.Before(w.End)
		}
		return !w.End.Before(g.To) && !g.Until.After(w.Until)
	})
}

// overlap reports whether two gaps speak of the same stretch: in position, and where only moments are lost in time.
func overlap(a, b Gap) bool {
	if !a.open() && a.To.Before(b.From) || b.To.Before(a.From) {
		return false
	}
	if a.From.Equal(a.To) || b.From.Equal(b.To) {
		return !a.Until.Before(b.Since) && !b.Until.Before(a.Since)
	}
	return true
}
