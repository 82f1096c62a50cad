package archive

import (
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// view is what others see of a shipper.
type view struct {
	segments history.Moment // up to where there are full segments; breaks that were recorded count
	durable  history.Moment // up to where there is log at all
	top      history.Moment // the newest position that the repository knows of, when it was opened
	whole    history.Moment // up to when that is said to be complete
	line     line           // that durable lies on
	tips     int
	full     int
	bases    int
	newest   history.Base // that came since the begin
	stored   int64
	lastBase time.Time
	owed     time.Time // a statement of completeness up to here is to be made at once
	refused  time.Time // when a base could last not be kept here
}

// line is a stretch of log that begins behind a gap, or with the first base of all. Until a base of it is there nothing
// on it can be recovered, however durable its log is.
type line struct {
	begin  history.Position
	base   history.Position // Stop of the newest base
	before history.Moment   // up to where the lines before it can be recovered to
}

// recoverable is up to where the repository can bring the source back.
func (v *view) recoverable() history.Moment {
	if v.bases == 0 || v.line.base.Before(v.line.begin) {
		return v.line.before
	}
	m := v.durable
	if v.whole.Position.Equal(m.Position) && v.whole.Time.After(m.Time) {
		m.Time = v.whole.Time
	}
	return m
}

// enter goes on to the line that begins at m.
func (v *view) enter(m history.Moment) {
	v.line.before = v.recoverable()
	v.line.begin = m.Position
	v.segments, v.durable = m, m
}

// take notes a base.
func (v *view) take(b history.Base) {
	v.bases++
	v.stored += b.StoredBytes
	if v.line.base.Before(b.Stop) {
		v.line.base = b.Stop
	}
}

func (s *shipper) look() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

func (s *shipper) segmentEnd() history.Moment { return s.look().segments }

func (s *shipper) durableEnd() history.Moment { return s.look().durable }

func (s *shipper) topEnd() history.Moment { return s.look().top }

func (s *shipper) update(change func(*view)) {
	s.mu.Lock()
	change(&s.view)
	s.mu.Unlock()
	s.a.changed.wake()
}

// read takes over what a repository has.
func (v *view) read(h history.History, stored int64) {
	before := *v
	*v = view{whole: h.Whole, bases: len(h.Bases), stored: stored, segments: segmentEnd(h), top: h.Whole, refused: v.refused, owed: v.owed}
	defer v.keepNewest(before, h)
	for _, seg := range h.Segments {
		if seg.Tip {
			v.tips++
		} else {
			v.full++
		}
		v.top = laterMoment(v.top, history.Moment{Position: seg.To, Time: seg.Until})
	}
	v.durable = laterMoment(v.segments, v.top)
	for _, b := range h.Bases {
		v.top = laterMoment(v.top, history.Moment{Position: b.Stop, Time: b.StopTime})
		if b.StopTime.After(v.lastBase) {
			v.lastBase = b.StopTime
		}
	}
	v.top = laterMoment(v.top, v.segments)
	for _, w := range h.Windows() {
		if !w.Abandoned {
			v.line = line{begin: w.Start, base: w.Start, before: history.Moment{Position: w.End, Time: w.Until}}
		}
	}
	if !joins(h.Forks, v.line.before.Position, v.durable.Position) { // the log that is there joins no base
		v.line.begin = v.durable.Position
	}
}

// joins reports whether end is no further than at, or nothing but forks lie between: no log of the newest timeline is there yet.
func joins(forks []history.Fork, at, end history.Position) bool {
	for at.Before(end) {
		i := slices.IndexFunc(forks, func(f history.Fork) bool { return f.At.Equal(at) && at.Before(childOf(f)) })
		if i < 0 {
			return false
		}
		at = childOf(forks[i])
	}
	return true
}

// childOf is where the timeline begins to which a source went on.
func childOf(f history.Fork) history.Position {
	return history.Position{Timeline: f.Child, Seq: f.At.Seq, Mark: f.At.Mark}
}

// keepNewest keeps a base that was put into the repository while its history was being read, and is not in what was read.
func (v *view) keepNewest(before view, h history.History) {
	b := before.newest
	if b.ID == "" || slices.ContainsFunc(h.Bases, func(o history.Base) bool { return !o.StopTime.Before(b.StopTime) }) {
		return
	}
	v.take(b)
	v.newest, v.lastBase = b, before.lastBase
}

func laterMoment(a, b history.Moment) history.Moment {
	if a.Position.Before(b.Position) || a.Position.Equal(b.Position) && a.Time.Before(b.Time) {
		return b
	}
	return a
}

// segmentEnd is up to where a repository has full segments, or has recorded that there are none or that the log goes
// on elsewhere.
func segmentEnd(h history.History) history.Moment {
	var end history.Moment
	for _, seg := range h.Segments {
		if !seg.Tip {
			end = laterMoment(end, history.Moment{Position: seg.To, Time: seg.Until})
		}
	}
	for _, g := range h.Gaps {
		end = laterMoment(end, history.Moment{Position: g.To, Time: g.Until})
	}
	for _, f := range h.Forks {
		m := history.Moment{Position: childOf(f)}
		if f.At.Equal(end.Position) {
			m.Time = end.Time
		}
		end = laterMoment(end, m)
	}
	if !end.Position.IsZero() {
		return end
	}
	for i, b := range h.Bases {
		m := history.Moment{Position: b.Start, Time: b.StartTime}
		if b.Stop.Equal(b.Start) && b.StopTime.Before(m.Time) {
			m.Time = b.StopTime // of the last commit before it
		}
		if i == 0 || m.Position.Before(end.Position) {
			end = m
		}
	}
	return end
}
