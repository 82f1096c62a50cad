package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
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
	if s.writers == nil {
		if s.writers, err = open(s.path, readWrite); err != nil {
			return err
		}
	}
	log, copied, err := passive(ctx, s.writers)
	if err != nil {
		return s.refused(fmt.Errorf("checkpoint: %w", err))
	}
	s.count(func(n *Counters) { n.Checkpoints++ })
	if copied == 0 || log-copied > int64(s.limits.checkpoint) {
		// A reader of the application holds an old mark. There is no use in making writers wait.
		s.retryAt = time.Now().Add(time.Second)
		return nil
	}
	return s.reset(ctx, b)
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
	s.report(func(st *engine.Status) { st.LastError, st.LastErrorT = err, s.now() })
	return nil
}

// reset is the part of checkpoint during which writers wait.
func (s *Source) reset(ctx context.Context, b *batch) error {
	lock, err := s.writers.Conn(ctx)
	if err != nil {
		return s.refused(err)
	}
	defer lock.Close()
	if _, err := lock.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		if isBusy(err) {
			s.count(func(n *Counters) { n.Busy++ })
			s.retryAt = time.Now().Add(20 * time.Millisecond)
			return nil
		}
		return s.refused(err)
	}
	began := time.Now()
	defer func() {
		_, _ = lock.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		s.report(func(st *engine.Status) { st.HoldsUp = time.Since(began) })
	}()
	if err := s.roundWAL(ctx, b); err != nil {
		return err
	}
	log, copied, err := passive(ctx, s.writers)
	if err != nil {
		return s.refused(err)
	}
	if copied < log {
		s.resetAt = uint32(log) + s.limits.checkpoint // a reader of the application is in the way
		return nil
	}
	if err := s.roundWAL(ctx, b); err != nil {
		return err
	}
	s.resetAt = uint32(log) + s.limits.checkpoint
	s.count(func(n *Counters) { n.Resets++ })
	return nil
}
