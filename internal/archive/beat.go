package archive

import (
	"context"
	"time"
)

// firstBeat is how long after the last log a folder is told that nothing followed. Each wait is twice the one before:
// soon after a commit people ask for "now", and an idle source costs no more than before.
const firstBeat = time.Second

// beatInterval is how long to wait after the last beat.
func (s *shipper) beatInterval(every time.Duration) time.Duration {
	if !s.repo.Store().Properties().Local {
		return every // each beat is paid for
	}
	return min(every, max(firstBeat, s.lastBeat.Sub(s.lastTip)))
}

// heartbeat says that nothing new was committed, if that is so and it is due.
func (s *shipper) heartbeat(ctx context.Context, every time.Duration, now time.Time) (time.Duration, error) {
	v, whole := s.look(), s.a.wholeMoment()
	owed := v.owed.After(v.whole.Time)
	if wait := s.beatInterval(every) - now.Sub(s.lastBeat); wait > 0 && !s.a.isDraining() && !owed {
		return wait, nil
	}
	if !whole.Position.Equal(v.durable.Position) || !whole.Time.After(v.whole.Time) || s.next.to.Before(whole.Position) {
		return min(every, firstBeat), nil
	}
	if owed && whole.Time.Before(v.owed) && !s.a.isDraining() {
		return min(every, firstBeat/10), nil // the source is looked at about so often
	}
	limited, end := context.WithTimeout(ctx, tipDeadline)
	defer end()
	if _, err := s.repo.Heartbeat(limited, whole); err != nil {
		return 0, err
	}
	s.wrote = true
	s.lastBeat = now
	s.update(func(v *view) { v.whole = whole })
	return s.beatInterval(every), nil
}
