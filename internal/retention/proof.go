package retention

import (
	"slices"

	"github.com/backstaydb/backstay/internal/history"
)

// prove sees that all moments that must stay recoverable would be after the drop. Histories with overlapping log and
// clocks that were set back can have moments that only one old base reaches: that base is kept, too.
func (d *decider) prove() {
	for {
		lost, base := d.firstLost()
		if lost == nil {
			return
		}
		if base == nil {
			d.keepAll("no other way keeps every moment of " + lost.why)
			return
		}
		d.keep(base, "no other base reaches every moment of "+lost.why, onward)
	}
}

// firstLost finds moments that would be lost, and the newest base that helps and does not keep all its log yet; nil if
// there is none.
func (d *decider) firstLost() (*moments, *base) {
	if len(d.moments) == 0 || d.keepLog != "" {
		return nil, nil
	}
	after := d.kept().Windows()
	for i, m := range d.moments {
		for _, w := range d.windows {
			if !m.lost(w, after) {
				continue
			}
			return &d.moments[i], d.helper(w)
		}
	}
	return nil, nil
}

// helper is the newest base on the line of w that does not keep all its log yet.
func (d *decider) helper(w history.Window) *base {
	i := slices.IndexFunc(d.lines, func(l line) bool { return l.timeline == w.End.Timeline })
	for _, b := range slices.Backward(d.bases) {
		if b.fault == "" && !b.log.onward && !b.StopTime.After(w.Until) && i >= 0 && d.lines[i].holds(b) {
			return b
		}
	}
	return nil
}

// lost reports whether a part of w that lies in m is in none of the windows after the drop.
func (m moments) lost(w history.Window, after []history.Window) bool {
	first, last, inside := m.clip(w.Since, w.Until)
	if !inside {
		return false
	}
	for _, a := range after {
		sameEnd := a.End.Equal(w.End) || !m.to.IsZero() && a.End.Timeline == w.End.Timeline
		if sameEnd && a.Abandoned == w.Abandoned && !first.Before(a.Since) && !last.After(a.Until) {
			return false
		}
	}
	return true
}

// kept is the history without what would be dropped.
func (d *decider) kept() history.History {
	h := d.h
	h.Bases, h.Segments = nil, nil
	for _, b := range d.bases {
		if b.kept() {
			h.Bases = append(h.Bases, b.Base)
		}
	}
	needed := d.neededLog()
	for _, s := range d.h.Segments {
		if _, ok := needed[s.Name]; ok {
			h.Segments = append(h.Segments, s)
		}
	}
	return h
}
