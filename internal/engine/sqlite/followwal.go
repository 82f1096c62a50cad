package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// roundWAL captures and ships what there is, hand over hand: it pins the WAL at its end, ships everything up to there,
// and only then lets the pin of the round before go. So no frame that was not shipped is ever without a pin. Where nothing
// moved since, not even a checkpoint, a new pin would hold the same, and the old one stays.
func (s *Source) roundWAL(ctx context.Context, b *batch) error {
	before, at, err := s.watch.current()
	if err == nil && s.pin != nil && s.pin.since == before {
		if err = s.capture(before, at, b); s.pin == nil {
			return s.regain(ctx, err, b)
		}
		s.rest()
		return err
	}
	next, err := read(ctx, s.readers)
	if err != nil {
		return fmt.Errorf("pin the WAL: %w", err)
	}
	next.since, s.next = before, next
	x, at, err := s.watch.current()
	if err == nil {
		err = s.capture(x, at, b)
	}
	if s.pin == nil {
		return s.regain(ctx, err, b)
	}
	s.next = nil
	if err != nil {
		next.release()
		return err
	}
	s.pin.release()
	s.pin = next
	return nil
}

// capture takes all up to x and ships it. at is a moment at which nothing beyond x had been committed.
func (s *Source) capture(x walIndex, at time.Time, b *batch) error {
	if x.pageSize != s.head.pageSize && x.frames > 0 && s.head.pages > 0 {
		return s.gap(s.head.position, "the page size changed from %d to %d", s.head.pageSize, x.pageSize)
	}
	b.last = s.head
	c := capture{db: s.files.db, wal: s.files.wal, head: s.head, index: s.index, old: s.old, stamp: s.stamp, out: b, pinned: func() bool { return s.pin != nil }}
	if err := c.to(x); err != nil {
		return err
	}
	if at.Sub(c.head.until) >= s.limits.idleEvery {
		c.head.until = at
		b.idle(c.head)
	}
	if err := b.flush(); err != nil {
		return err
	}
	s.head, s.index = c.head, c.index
	if c.commits > 0 {
		s.busy = time.Now()
		s.old = nil // all that was missed is captured, and no checkpoint goes beyond the next pin
	}
	s.count(func(n *Counters) { n.Commits += c.commits; n.Generations += c.generations })
	return nil
}

// regain goes on after the WAL had to be let go during a shipment: with luck it still holds all that follows.
func (s *Source) regain(ctx context.Context, err error, b *batch) error {
	if errors.Is(err, errShip) || ctx.Err() != nil {
		return err
	}
	h := s.durable
	s.unpin()
	b.drop(h)
	_, err = s.resumeWAL(ctx, h, b) // the observer went on: every commit has its time
	return err
}

func (s *Source) stamp(generation salt, frame uint32) time.Time {
	return s.watch.seen(generation, frame).UTC().Truncate(time.Microsecond)
}
