package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Histories may be about to be read or filled.
const (
	windowPatience  = time.Minute
	mostWindowSlack = time.Hour // the first base takes a while
)

// window looks how far back each repository reaches, once the source is protected for so long.
func (j *judge) window() {
	if j.o.Window <= 0 {
		return
	}
	want := j.now.Add(-j.o.Window)
	if want.Before(j.protected()) {
		want = j.protected()
	}
	var oldest time.Time
	for _, r := range j.f.Repositories {
		for _, w := range main(r.Windows) {
			if oldest.IsZero() || w.Since.Before(oldest) {
				oldest = w.Since
			}
		}
	}
	slack := min(max(j.o.Window/100, windowPatience), mostWindowSlack)
	switch {
	case j.f.Protected.IsZero():
	case oldest.IsZero():
		j.add(breach{Finding: Finding{Objective: Window, Severity: Critical, Since: j.f.Protected,
			Reason: fmt.Sprintf("nothing can be recovered (promised: any moment of the last %s): no base is complete", span(j.o.Window)),
			Do:     "take a base: backstay backup " + j.f.Source}, patience: slack})
	case oldest.Sub(want) > slack:
		j.add(breach{Finding: Finding{Objective: Window, Severity: Warning, Since: j.now,
			Reason: fmt.Sprintf("one can go back %s, to %s (promised: %s)", span(j.now.Sub(oldest)), clock(oldest), span(j.now.Sub(want))),
			Do:     "see in the audit log what was dropped; the window grows again with time"}, patience: windowPatience})
	}
}

// main are the windows on the lines that the source went on with.
func main(windows []history.Window) []history.Window {
	return slices.DeleteFunc(slices.Clone(windows), func(w history.Window) bool { return w.Abandoned })
}

// coverage looks which share of the window the best repository can recover. Moments at the end that are not durable yet are
// the RPO's.
func (j *judge) coverage() {
	if j.o.Coverage <= 0 || j.o.Window <= 0 || j.f.Protected.IsZero() {
		return
	}
	from := j.now.Add(-j.o.Window)
	best, covered, found := Repository{}, 0.0, false
	for _, r := range j.f.Repositories {
		if c, ok := share(main(r.Windows), from); ok && (!found || c > covered) {
			best, covered, found = r, c, true
		}
	}
	if !found || covered >= j.o.Coverage {
		return
	}
	b := breach{Finding: Finding{Objective: Coverage, Severity: Warning, Since: j.now,
		Reason: fmt.Sprintf("%s of the last %s can be recovered (promised: %s)", percent(covered), span(j.o.Window), percent(j.o.Coverage)),
		Do:     "nothing brings these moments back; see what broke the log off"}, patience: windowPatience}
	if g, ok := longest(best.Gaps, from); ok {
		b.Reason += fmt.Sprintf("; the longest gap is %s from %s: %s", span(g.Until.Sub(g.Since)), clock(g.Since), g.Reason)
		b.Since = g.Since
	}
	j.add(b)
}

// share is which part of the moments from the later of from and the first window to the end of the last one is in one.
func share(windows []history.Window, from time.Time) (float64, bool) {
	slices.SortFunc(windows, func(a, b history.Window) int { return a.Since.Compare(b.Since) })
	var first, end time.Time
	covered := time.Duration(0)
	for _, w := range windows {
		since := w.Since
		if since.Before(from) {
			since = from
		}
		if first.IsZero() {
			first, end = since, since
		}
		if since.Before(end) {
			since = end
		}
		if w.Until.After(since) {
			covered += w.Until.Sub(since)
		}
		if w.Until.After(end) {
			end = w.Until
		}
	}
	if !end.After(first) {
		return 0, false
	}
	return float64(covered) / float64(end.Sub(first)), true
}

// longest is the longest gap that ends after from.
func longest(gaps []history.Gap, from time.Time) (history.Gap, bool) {
	var found history.Gap
	for _, g := range gaps {
		if g.Until.After(from) && g.Until.Sub(g.Since) > found.Until.Sub(found.Since) {
			found = g
		}
	}
	return found, !found.Until.IsZero()
}
