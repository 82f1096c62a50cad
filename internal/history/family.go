package history

import (
	"maps"
	"slices"
)

// family is a history sorted by timeline: who descends from whom, what lies on each.
type family struct {
	timelines []uint32 // all that anything is known of, ascending
	parents   map[uint32]Fork
	bases     map[uint32][]Base
	segments  map[uint32][]Segment
	newest    map[uint32]uint32 // by first timeline of a tree: the newest of that tree
	whole     Moment
}

func newFamily(h History) *family {
	f := &family{
		parents: map[uint32]Fork{}, bases: map[uint32][]Base{}, segments: map[uint32][]Segment{},
		newest: map[uint32]uint32{}, whole: h.Whole,
	}
	known := map[uint32]bool{}
	for _, b := range h.Bases {
		f.bases[b.Stop.Timeline] = append(f.bases[b.Stop.Timeline], b)
		known[b.Stop.Timeline] = true
	}
	for _, s := range h.Segments {
		f.segments[s.To.Timeline] = append(f.segments[s.To.Timeline], s)
		known[s.To.Timeline] = true
	}
	for _, fork := range h.Forks {
		// A parent that is not older than its child would lead in a circle.
		if _, taken := f.parents[fork.Child]; !taken && fork.At.Timeline < fork.Child {
			f.parents[fork.Child] = fork
		}
		known[fork.Child] = true
	}
	f.timelines = slices.Sorted(maps.Keys(known))
	for _, timeline := range f.timelines {
		f.newest[f.root(timeline)] = timeline
	}
	return f
}

// root is the timeline that the given one descends from in the end.
func (f *family) root(timeline uint32) uint32 {
	for {
		fork, ok := f.parents[timeline]
		if !ok {
			return timeline
		}
		timeline = fork.At.Timeline
	}
}

// current is the timeline that the source went on with after the given one.
func (f *family) current(timeline uint32) uint32 { return f.newest[f.root(timeline)] }

// ancestry lists the stretches of timeline and its ancestors, eldest first.
func (f *family) ancestry(timeline uint32) []stretch {
	line := []stretch{{timeline: timeline, until: endless}}
	for {
		fork, ok := f.parents[timeline]
		if !ok {
			slices.Reverse(line)
			return line
		}
		child := &line[len(line)-1]
		child.fork, timeline = fork, fork.At.Timeline
		line = append(line, stretch{timeline: timeline, until: min(fork.At.Seq, child.until)})
	}
}

// leftAt says at which sequence the source left the line to timeline for the one it went on with, if it did.
func (f *family) leftAt(timeline uint32) (seq uint64, left bool) {
	if f.current(timeline) == timeline {
		return 0, false
	}
	current := f.ancestry(f.current(timeline))
	for _, own := range slices.Backward(f.ancestry(timeline)) {
		if i := slices.IndexFunc(current, func(s stretch) bool { return s.timeline == own.timeline }); i >= 0 {
			return min(own.until, current[i].until), true
		}
	}
	return 0, false
}
