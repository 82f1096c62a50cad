package history

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// line is the course of history that leads to one timeline: that timeline and its ancestors, each up to the fork
// at which the next one leaves it. On a line every sequence belongs to one timeline only, so that positions can be
// compared by sequence alone.
type line struct {
	stretches []stretch
	bases     []Base // in ascending order of Stop
	next      map[uint64][]edge
	reach     map[uint64]uint64    // from where a segment begins or ends to the furthest place that is joined to it
	entries   []edge               // in ascending order of from
	points    []Segment            // that lead nowhere: what was told where a timeline begins, before any log came
	ends      []uint64             // how far any of the entries up to this one goes
	left      map[uint64]time.Time // by the place of a fork: until when at least nothing came behind it, by a segment that ends there
	whole     Moment
}

// stretch is the part of a timeline that a line follows.
type stretch struct {
	timeline uint32
	until    uint64 // where the line leaves it; endless for the last
	fork     Fork   // by which it was entered; zero for the first
}

// edge is a segment as far as a line uses it. A segment belongs to the timeline of its To: the first one after a
// fork may name the fork, a position of the parent, as its From.
type edge struct {
	Segment
	from, to uint64 // to is cut at the fork
}

// endless stands for a stretch that is not left.
const endless = math.MaxUint64

// line collects what lies on the way to timeline.
func (f *family) line(timeline uint32) *line {
	l := &line{stretches: f.ancestry(timeline), next: map[uint64][]edge{}, reach: map[uint64]uint64{}, left: map[uint64]time.Time{}, whole: f.whole}
	for _, st := range l.stretches {
		for _, s := range f.segments[st.timeline] {
			switch {
			case s.From.Seq >= st.until || s.From.Seq < st.fork.At.Seq:
			case s.From.Seq < s.To.Seq:
				l.entries = append(l.entries, edge{Segment: s, from: s.From.Seq, to: min(s.To.Seq, st.until)})
				if s.To.Seq == st.until {
					l.left[st.until] = later(l.left[st.until], s.Until)
				}
			case s.From.Seq == s.To.Seq:
				l.points = append(l.points, s)
			}
		}
		for _, b := range f.bases[st.timeline] {
			if b.Stop.Seq <= st.until && b.Stop.Seq >= st.fork.At.Seq {
				l.bases = append(l.bases, b)
			}
		}
	}
	slices.SortStableFunc(l.bases, compareBases)
	slices.SortStableFunc(l.entries, compareEdges)
	slices.SortStableFunc(l.points, func(a, b Segment) int { return cmp.Or(cmp.Compare(a.To.Seq, b.To.Seq), cmp.Compare(a.Name, b.Name)) })
	l.join()
	return l
}

func (l *line) stretch(timeline uint32) (stretch, bool) {
	i := slices.IndexFunc(l.stretches, func(s stretch) bool { return s.timeline == timeline })
	if i < 0 {
		return stretch{}, false
	}
	return l.stretches[i], true
}

// join finds for every place how far the segments that begin there lead. Edges lead upwards only, so that going
// down from the highest start each place is final when it is looked at.
func (l *line) join() {
	for i, e := range l.entries {
		l.ends = append(l.ends, e.to)
		if i > 0 {
			l.ends[i] = max(e.to, l.ends[i-1])
		}
	}
	for i := len(l.entries) - 1; i >= 0; i-- {
		e := l.entries[i]
		l.next[e.from] = append(l.next[e.from], e)
		l.reach[e.from] = max(l.reach[e.from], l.from(e.to))
	}
}

// from is the furthest place joined to seq.
func (l *line) from(seq uint64) uint64 { return max(seq, l.reach[seq]) }

// path lists the segments from base to the furthest place that can be reached with it. ok is false if the base
// lacks the log that makes it consistent.
func (l *line) path(b Base) (path []edge, ok bool) {
	at := b.begin()
	e, found := l.best(l.containing(at))
	for found {
		path, at = append(path, e), e.to
		e, found = l.best(l.next[at])
	}
	l.trimAtForks(path)
	return path, at >= b.Stop.Seq
}

// trimAtForks limits the moments of segments that run on beyond a fork. When the fork happened is told by the child
// alone, so the segment is trusted until the child begins, and where nothing of the child is known for as long as another one says
// that ends at the fork.
func (l *line) trimAtForks(path []edge) {
	for i, e := range path {
		if e.to == e.To.Seq {
			continue
		}
		until := later(e.Since, earlier(e.Until, l.left[e.to]))
		if i+1 < len(path) {
			until = later(until, earlier(e.Until, path[i+1].Since))
		}
		path[i].Until = until
	}
}

// begin is the sequence from which a base needs the log.
func (b Base) begin() uint64 {
	if b.Start.IsZero() {
		return b.Stop.Seq
	}
	return min(b.Start.Seq, b.Stop.Seq)
}

// end is the position where the line leaves the segment, with its mark where it is known.
func (e edge) end(l *line) Position {
	if e.to == e.To.Seq {
		return e.To
	}
	return l.position(e.to)
}

// endOf is where a path from base leads.
func (l *line) endOf(b Base, path []edge) Position {
	if n := len(path); n > 0 && path[n-1].to > b.Stop.Seq {
		return path[n-1].end(l)
	}
	return b.Stop
}

// reaches is where path would lead, without making it.
func (l *line) reaches(b Base) (seq uint64, ok bool) {
	at := b.begin()
	if e, found := l.best(l.containing(at)); found {
		at = l.from(e.to)
	}
	return max(at, b.Stop.Seq), at >= b.Stop.Seq
}

// containing lists the segments that begin at or before seq and go beyond it.
func (l *line) containing(seq uint64) []edge {
	// Looked at backwards from the last one that begins in time, until none before goes far enough.
	i, _ := slices.BinarySearchFunc(l.entries, seq, func(e edge, seq uint64) int {
		if e.from <= seq {
			return -1
		}
		return 1
	})
	var found []edge
	for i--; i >= 0 && l.ends[i] > seq; i-- {
		if l.entries[i].to > seq {
			found = append(found, l.entries[i])
		}
	}
	return found
}

// best is the edge that leads furthest in the end; among equals the longest counts, then the one that begins
// latest, then a full segment before a tip, then the name.
func (l *line) best(edges []edge) (edge, bool) {
	if len(edges) == 0 {
		return edge{}, false
	}
	return slices.MaxFunc(edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(l.from(a.to), l.from(b.to)), cmp.Compare(a.to, b.to), cmp.Compare(a.from, b.from),
			boolCompare(b.Tip, a.Tip), cmp.Compare(b.Name, a.Name))
	}), true
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// position gives seq its timeline: at a fork that of the parent.
func (l *line) position(seq uint64) Position {
	i := slices.IndexFunc(l.stretches, func(s stretch) bool { return seq <= s.until })
	return At(l.stretches[i].timeline, seq)
}

// wholeAt is the time until which nothing follows the place at the end of a path, if anyone said so.
func (l *line) wholeAt(end uint64) (time.Time, bool) {
	st, ok := l.stretch(l.whole.Position.Timeline)
	return l.whole.Time, ok && l.whole.Position.Seq == end && end <= st.until && l.from(end) == end
}

func compareBases(a, b Base) int {
	return cmp.Or(cmp.Compare(a.Stop.Seq, b.Stop.Seq), a.Stop.Compare(b.Stop), a.StopTime.Compare(b.StopTime), cmp.Compare(a.ID, b.ID))
}

func compareEdges(a, b edge) int {
	return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.Name, b.Name))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
