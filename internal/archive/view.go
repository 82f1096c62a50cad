package archive

import (
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// view is what others see of a shipper.
type view struct {
	segments history.Moment // up to where there are full segments; breaks that were recorded count
	durable  history.Moment // up to where there is log at all
	top      history.Moment // the newest position that the repository knows of, when it was opened
	whole    history.Moment // up to when that is said to be complete
	tips     int
	full     int
	bases    int
	stored   int64
	lastBase time.Time
	owed     time.Time // a statement of completeness up to here is to be made at once
	refused  time.Time // when a base could last not be kept here
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
	*v = view{whole: h.Whole, bases: len(h.Bases), stored: stored, segments: segmentEnd(h), top: h.Whole, refused: v.refused, owed: v.owed}
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
		end = laterMoment(end, history.Moment{Position: history.Position{Timeline: f.Child, Seq: f.At.Seq, Mark: f.At.Mark}})
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
