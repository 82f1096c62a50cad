package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

// Follow is engine.Source's.
func (s *Source) Follow(ctx context.Context, from engine.Bookmark, ship engine.Ship) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	b := &batch{ctx: ctx, ship: s.guard(ship), limit: s.limits.batchBytes, done: s.shipped}
	err := s.resume(ctx, from, b)
	if err == nil {
		s.follow, s.batch, s.busy = true, b, time.Now()
		s.shipped(s.head)
	}
	s.leave()
	if err == nil {
		err = s.rounds(ctx, b)
	}
	s.turn <- struct{}{}
	s.follow, s.batch = false, nil
	if len(s.table) > tableSmall {
		s.keepTable(tableLarge)
	}
	s.unpin()
	s.leave()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.fault(err)
	return err
}

// rounds goes on until ctx ends or something fails.
func (s *Source) rounds(ctx context.Context, b *batch) error {
	for {
		if err := s.enter(ctx); err != nil {
			return err
		}
		err := s.round(ctx, b)
		wake, idle := s.wake(), s.idle()
		s.leave()
		if err != nil {
			return err
		}
		if err := s.wait(ctx, wake, idle); err != nil {
			return err
		}
	}
}

// round ships what there is, in the mode that the database is in.
func (s *Source) round(ctx context.Context, b *batch) error {
	if err := s.inPlace(); err != nil {
		return err
	}
	if !s.head.wal {
		return s.roundRollback(ctx, b)
	}
	if err := s.undisturbed(ctx); err != nil {
		return err
	}
	if err := s.roundWAL(ctx, b); err != nil {
		return err
	}
	return s.checkpoint(ctx, b)
}

// idle is how long nothing need be shipped. A host may have hundreds of databases that rest for days.
func (s *Source) idle() time.Duration {
	if time.Since(s.busy) > s.limits.calmAfter {
		return max(s.limits.idleEvery, s.limits.calmEvery)
	}
	return s.limits.idleEvery
}

// wait sleeps until the source moves, but at least shipEvery and at most as long as idle.
func (s *Source) wait(ctx context.Context, wake <-chan struct{}, idle time.Duration) error {
	least, most := time.NewTimer(s.limits.shipEvery), time.NewTimer(idle)
	if wake == nil {
		least.Reset(s.limits.lookEvery)
		most.Reset(0)
	}
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
	case <-wake:
	}
	return nil
}

// wake is told when the WAL moves; nil in rollback-journal mode.
func (s *Source) wake() <-chan struct{} {
	if s.watch == nil || !s.head.wal {
		return nil
	}
	return s.watch.wake
}

var errShip = errors.New("ship")

// guard keeps an eye on the source while a shipment takes its time.
func (s *Source) guard(ship engine.Ship) engine.Ship {
	return func(ctx context.Context, pieces []engine.Piece) error {
		done := make(chan error, 1)
		go func() { done <- ship(ctx, pieces) }()
		began := time.Now()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case err := <-done:
				if err != nil {
					return fmt.Errorf("%w: %w", errShip, err)
				}
				return nil
			case <-tick.C:
				s.meanwhile(time.Since(began))
			}
		}
	}
}

// meanwhile lets writers go on if they wait for us, and the WAL go if it has grown too large.
func (s *Source) meanwhile(waited time.Duration) {
	if s.unlock != nil {
		s.unlock()
	}
	if s.pin == nil || s.watch == nil || waited < s.limits.patience {
		return
	}
	if x, err := s.watch.read(); err == nil && frameOffset(x.frames+1, x.pageSize) > s.limits.held {
		s.pin.release()
		s.next.release()
		s.pin, s.next = nil, nil
		s.count(func(n *Counters) { n.Unpinned++ })
	}
}

// shipped notes how far everything is safe.
func (s *Source) shipped(h head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable = h
	s.status.Position, s.status.Time = h.position, h.until
}

// fault notes an error for Status.
func (s *Source) fault(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.LastError, s.status.LastErrorT = err, s.now()
}
