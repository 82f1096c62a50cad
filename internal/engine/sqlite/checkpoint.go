package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/killpoint"
)

// checkpoint copies the WAL into the database when it has grown past the limit, so that it can begin again. The caller
// holds the turn, and all up to the pin was shipped.
//
// The bulk is copied without any lock. For the rest writers wait: BEGIN IMMEDIATE, capture and ship what came meanwhile,
// move the pin to the end, copy the little that is left, move the pin again (it gets mark 0, as nothing of the WAL is
// needed any more), ROLLBACK. The next writer begins the WAL anew.
func (s *Source) checkpoint(ctx context.Context, b *batch) error {
	x, err := readWALIndex(s.files.shm)
	if err != nil {
		return err
	}
	if x.salt != s.resetSalt {
		s.resetSalt, s.resetAt = x.salt, s.limits.checkpoint
	}
	if x.frames < s.resetAt || time.Now().Before(s.retryAt) {
		return nil
	}
	for range 4 {
		log, copied, err := passive(ctx, s.writers)
		if err != nil {
			return s.refused(fmt.Errorf("checkpoint: %w", err))
		}
		s.count(func(n *Counters) { n.Checkpoints++ })
		// The longer the WAL, the more it is worth to make writers wait for.
		if log-copied <= max(int64(s.limits.checkpoint)/4, log/8) {
			return s.reset(ctx, b)
		}
		if err := s.roundWAL(ctx, b); err != nil { // what was written during the copy
			return err
		}
	}
	// A reader of the application holds an old mark, or it writes faster than a disk copies. There is no use in
	// making writers wait.
	s.retryAt = time.Now().Add(time.Second)
	return nil
}

// passive runs a checkpoint that waits for nobody and returns how many frames the WAL has and how many of them are in
// the database.
func passive(ctx context.Context, db *sql.DB) (log, copied int64, err error) {
	var busy int64
	err = db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &log, &copied)
	if isBusy(err) {
		return 0, 0, nil
	}
	return log, copied, err
}

// refused leaves checkpoints to the application where we may not write; protection goes on without them.
func (s *Source) refused(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	s.retryAt = time.Now().Add(10 * time.Second)
	s.fault(err)
	return nil
}

// reset is the part of checkpoint during which writers wait.
func (s *Source) reset(ctx context.Context, b *batch) error {
	lock, err := s.writers.Conn(ctx)
	if err != nil {
		return s.refused(err)
	}
	defer lock.Close()
	if err := s.lockWriters(ctx, lock); isBusy(err) {
		s.count(func(n *Counters) { n.Busy++ })
		s.retryAt = time.Now().Add(200 * time.Millisecond)
		return nil
	} else if err != nil {
		return s.refused(err)
	}
	began := time.Now()
	s.unlock = func() {
		s.unlock = nil
		_, _ = lock.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		s.heldUp(time.Since(began))
	}
	defer func() {
		if s.unlock != nil {
			s.unlock()
		}
	}()
	if err := s.roundWAL(ctx, b); err != nil || s.unlock == nil {
		return err
	}
	log, copied, err := passive(ctx, s.writers)
	if err != nil {
		return s.refused(err)
	}
	s.resetAt = uint32(log) + s.limits.checkpoint
	if copied < log {
		return nil // a reader of the application is in the way
	}
	killpoint.At(killpoint.LogCheckpointed)
	if err := s.roundWAL(ctx, b); err != nil || s.unlock == nil {
		return err
	}
	s.count(func(n *Counters) { n.Resets++ })
	return nil
}

// lockWriters takes the write lock. SQLite has no queue for it, and a busy writer leaves it for some microseconds between two
// commits, so it is asked for often and for a short while.
func (s *Source) lockWriters(ctx context.Context, c *sql.Conn) error {
	for deadline := time.Now().Add(100 * time.Millisecond); ; {
		_, err := c.ExecContext(ctx, "BEGIN IMMEDIATE")
		if !isBusy(err) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// heldUp notes for how long writers had to wait.
func (s *Source) heldUp(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.HoldsUp = d
}
