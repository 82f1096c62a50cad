package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// resumeWAL goes on from a bookmark if the WAL still holds all that followed it.
func (s *Source) resumeWAL(ctx context.Context, h head) error {
	pin, err := read(ctx, s.readers)
	if err != nil {
		return explain(s.path, err)
	}
	s.pin = pin
	if err := s.observe(); err != nil {
		return err
	}
	x, err := readWALIndex(s.files.shm)
	if err != nil {
		return err
	}
	if x.salt != h.salt || x.frames < h.frame {
		return s.gap(h.position, "the WAL was reset while nobody was watching")
	}
	s.index, err = indexFrames(s.files.wal, x, h.frame, h.chain)
	s.head = h
	return err
}

// roundWAL captures and ships what there is, hand over hand.
func (s *Source) roundWAL(ctx context.Context, b *batch) error {
	before := s.now()
	next, err := read(ctx, s.readers)
	if err != nil {
		return fmt.Errorf("pin the WAL: %w", err)
	}
	x, err := readWALIndex(s.files.shm)
	if err == nil {
		err = s.ship(x, before, b)
	}
	if err != nil {
		next.release()
		return err
	}
	s.pin.release()
	s.pin = next
	return nil
}

// ship captures all up to x and ships it. before is a moment just before x was read.
func (s *Source) ship(x walIndex, before time.Time, b *batch) error {
	c := capture{db: s.files.db, wal: s.files.wal, head: s.head, index: s.index, stamp: s.stamp, out: b}
	b.last = s.head
	b.done = func(h head) { s.shipped(h, x) }
	if err := c.to(x); err != nil {
		return err
	}
	if before.Sub(c.head.until) >= s.limits.idleEvery {
		c.head.until = before
		b.idle(c.head)
	}
	if err := b.flush(); err != nil {
		return err
	}
	s.head, s.index = c.head, c.index
	s.count(func(n *Counters) { n.Commits += c.commits; n.Generations += c.generations })
	return nil
}

func (s *Source) stamp(generation salt, frame uint32) time.Time {
	return s.watch.seen(generation, frame).UTC().Truncate(time.Microsecond)
}

// shipped tells Status.
func (s *Source) shipped(h head, x walIndex) {
	s.report(func(st *engine.Status) {
		st.Position, st.Time = h.position, h.until
	})
}

var _ = history.Position{}
