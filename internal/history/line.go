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
	reach     map[uint64]uint64 // from where a segment begins or ends to the furthest place that is joined to it
	entries   []edge            // in ascending order of from
	whole     Moment
}

// stretch is the part of a timeline that a line follows.
type stretch struct {
	timeline uint32
	until    uint64 // where the line leaves it; MaxUint64 for the last stretch
	fork     Fork   // by which it was entered; zero for the first
}

// edge is a segment as far as a line uses it.
type edge struct {
	Segment
	from, to uint64 // to is cut at the fork
}

// newLine collects what lies on the way to timeline.
func newLine(h History, timeline uint32) *line {
	l := &line{stretches: ancestry(h.Forks, timeline), next: map[uint64][]edge{}, reach: map[uint64]uint64{}, whole: h.Whole}
	for _, s := range h.Segments {
		if e, ok := l.edge(s); ok {
			l.entries = append(l.entries, e)
		}
	}
	for _, b := range h.Bases {
		if st, ok := l.stretch(b.Stop.Timeline); ok && b.Stop.Seq <= st.until {
			l.bases = append(l.bases, b)
		}
	}
	slices.SortStableFunc(l.bases, compareBases)
	slices.SortStableFunc(l.entries, compareEdges)
	l.join()
	return l
}

// ancestry lists timeline and its ancestors, eldest first. A fork whose parent is not older than its child would
// lead in a circle and is ignored.
func ancestry(forks []Fork, timeline uint32) []stretch {
	line := []stretch{{timeline: timeline, until: math.MaxUint64}}
	for {
		i := slices.IndexFunc(forks, func(f Fork) bool { return f.Child == timeline && f.At.Timeline < f.Child })
		if i < 0 {
			slices.Reverse(line)
			return line
		}
		line[len(line)-1].fork = forks[i]
		timeline = forks[i].At.Timeline
		line = append(line, stretch{timeline: timeline, until: min(forks[i].At.Seq, line[len(line)-1].until)})
	}
}

func (l *line) stretch(timeline uint32) (stretch, bool) {
	i := slices.IndexFunc(l.stretches, func(s stretch) bool { return s.timeline == timeline })
	if i < 0 {
		return stretch{}, false
	}
	return l.stretches[i], true
}

// edge cuts a segment to the line. A segment belongs to the timeline of its To: the first one after a fork may
// name the fork, a position of the parent, as its From.
func (l *line) edge(s Segment) (edge, bool) {
	st, ok := l.stretch(s.To.Timeline)
	if !ok || s.From.Seq >= s.To.Seq || s.From.Seq >= st.until || s.From.Seq < st.fork.At.Seq {
		return edge{}, false
	}
	return edge{Segment: s, from: s.From.Seq, to: min(s.To.Seq, st.until)}, true
}

// join finds for every place how far the segments that begin there lead. Edges lead upwards only, so that going
// down from the highest start each place is final when it is looked at.
func (l *line) join() {
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
	trimAtForks(path)
	return path, at >= b.Stop.Seq
}

// trimAtForks limits the moments of segments that run on beyond a fork. When the fork happened is told by the child
// alone, so the segment is trusted until the child begins, and where nothing of the child is known for no moment.
func trimAtForks(path []edge) {
	for i, e := range path {
		if e.to == e.To.Seq {
			continue
		}
		until := e.Since
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

// containing lists the segments that begin at or before seq and go beyond it.
func (l *line) containing(seq uint64) []edge {
	var found []edge
	for _, e := range l.entries {
		if e.from > seq {
			break
		}
		if e.to > seq {
			found = append(found, e)
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
