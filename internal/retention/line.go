package retention

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// endless is a sequence beyond all.
const endless = math.MaxUint64

// line is one timeline and its ancestors, each up to where the next one leaves it. On it sequences alone give the order.
type line struct {
	timeline uint32
	until    map[uint32]uint64 // by timeline: where the line leaves it
	segments []history.Segment // that lie on it
}

// linesOf makes the line to every timeline.
func linesOf(h history.History) []line {
	parent := map[uint32]history.Fork{}
	known := map[uint32]bool{}
	for _, b := range h.Bases {
		known[b.Stop.Timeline] = true
	}
	segments := map[uint32][]history.Segment{}
	for _, s := range h.Segments {
		segments[s.To.Timeline] = append(segments[s.To.Timeline], s)
		known[s.To.Timeline] = true
	}
	for _, f := range h.Forks {
		if _, taken := parent[f.Child]; !taken && f.At.Timeline < f.Child {
			parent[f.Child] = f
		}
		known[f.Child] = true
	}
	var all []line
	for _, timeline := range slices.Sorted(maps.Keys(known)) {
		l := line{timeline: timeline, until: map[uint32]uint64{}}
		for until := uint64(endless); ; {
			l.until[timeline] = until
			for _, s := range segments[timeline] {
				if s.From.Seq < until {
					l.segments = append(l.segments, s)
				}
			}
			f, ok := parent[timeline]
			if !ok {
				break
			}
			timeline, until = f.At.Timeline, min(until, f.At.Seq)
		}
		all = append(all, l)
	}
	return all
}

// holds reports whether a base lies on the line.
func (l line) holds(b *base) bool {
	until, on := l.until[b.Stop.Timeline]
	return on && b.Stop.Seq <= until
}

// need is a stretch of log that bases need: all that ends after begin and begins before end.
type need struct {
	begin, end uint64
	base       *base // the first of them
}

// needs lists what the kept bases need of the line, in order and apart.
func (l line) needs(bases []*base) []need {
	var all []need
	for _, b := range bases {
		if b.kept() && l.holds(b) {
			all = append(all, need{b.begin(), l.end(b), b})
		}
	}
	slices.SortStableFunc(all, func(a, b need) int { return cmp.Compare(a.begin, b.begin) })
	var apart []need
	for _, n := range all {
		if last := len(apart) - 1; last >= 0 && n.begin <= apart[last].end {
			apart[last].end = max(apart[last].end, n.end)
			continue
		}
		apart = append(apart, n)
	}
	return apart
}

// end is up to where a base keeps the log of the line.
func (l line) end(b *base) uint64 {
	if b.log.onward {
		return endless
	}
	end := b.Stop.Seq
	if !b.log.until.IsZero() {
		for _, s := range l.segments {
			if !s.Since.After(b.log.until) {
				end = max(end, s.To.Seq)
			}
		}
	}
	return end
}

// holder is the need that a segment serves.
func holder(needs []need, s history.Segment) (need, bool) {
	i, _ := slices.BinarySearchFunc(needs, s.From.Seq, func(n need, from uint64) int {
		if n.end <= from {
			return -1
		}
		return 1
	})
	if i == len(needs) || needs[i].begin >= s.To.Seq {
		return need{}, false
	}
	return needs[i], true
}

// neededLog says of each segment that stays for which base it does; nil where that is for a base to come.
func (d *decider) neededLog() map[string]*base {
	needed := map[string]*base{}
	for _, l := range d.lines {
		needs := l.needs(d.bases)
		for _, s := range l.segments {
			if n, ok := holder(needs, s); ok && (needed[s.Name] == nil || n.base.StopTime.Before(needed[s.Name].StopTime)) {
				needed[s.Name] = n.base
			}
		}
	}
	since := d.logSince()
	for _, s := range d.h.Segments {
		if _, ok := needed[s.Name]; !ok && (d.keepLog != "" || s.Tip || s.Until.After(since)) {
			needed[s.Name] = nil
		}
	}
	return needed
}

// logSince is from when on log stays though no base reaches it: one may be under way, or come from another repository.
func (d *decider) logSince() time.Time {
	var since time.Time
	for _, b := range d.bases {
		if b.fault == "" {
			since = b.StopTime
		}
	}
	for _, m := range d.moments {
		if m.to.IsZero() && m.from.Before(since) {
			since = m.from
		}
	}
	return since
}
