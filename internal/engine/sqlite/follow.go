package sqlite

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

// Follow is engine.Source's. Each round pins the WAL at its end, ships all up to there, and only then lets the pin of
// the round before go.
func (s *Source) Follow(ctx context.Context, from engine.Bookmark, ship engine.Ship) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	since, err := s.resume(ctx, from)
	if err == nil {
		s.follow = true
		s.head.until = laterOf(s.head.until, since)
	}
	s.leave()
	if err == nil {
		err = s.rounds(ctx, since, ship)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	s.turn <- struct{}{}
	s.follow = false
	s.unpin()
	s.leave()
	if err != nil && !errors.Is(err, context.Canceled) {
		s.report(func(st *engine.Status) { st.LastError, st.LastErrorT = err, s.now() })
	}
	return err
}

// resume makes head and pin stand at the bookmark and returns from when on nothing has escaped us.
func (s *Source) resume(ctx context.Context, from engine.Bookmark) (time.Time, error) {
	if s.pin != nil && s.head.position.Equal(from.Position) && bytes.Equal(s.head.token(), from.Token) {
		return s.head.until, nil
	}
	s.unpin()
	h, err := headOf(from)
	if err != nil {
		return time.Time{}, err
	}
	return s.now(), s.resumeWAL(ctx, h)
}

// rounds goes on until ctx ends or something fails.
func (s *Source) rounds(ctx context.Context, since time.Time, ship engine.Ship) error {
	b := &batch{ship: ship, limit: s.limits.batchBytes, since: since, ctx: ctx}
	for {
		if err := s.enter(ctx); err != nil {
			return err
		}
		err := s.roundWAL(ctx, b)
		if err == nil {
			err = s.checkpoint(ctx, b)
		}
		s.leave()
		if err != nil {
			return err
		}
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
}

// wait sleeps until the WAL moves, but at least shipEvery and at most idleEvery.
func (s *Source) wait(ctx context.Context) error {
	least, most := time.NewTimer(s.limits.shipEvery), time.NewTimer(s.limits.idleEvery)
	defer least.Stop()
	defer most.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-least.C:
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-most.C:
	case <-s.watch.wake:
	}
	return nil
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
