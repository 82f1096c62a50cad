package mem

import (
	"context"
	"fmt"
	"io/fs"
	"time"
)

// Locking is a Store with object lock. Use NewLocking.
type Locking struct{ *Store }

// NewLocking returns an empty store that can lock objects.
func NewLocking() Locking { return Locking{New()} }

// Lock implements store.Locker.
func (s Locking) Lock(ctx context.Context, name string, until time.Time) error {
	if _, err := s.find(ctx, name); err != nil {
		return fmt.Errorf("lock %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[name]
	if !ok {
		return fmt.Errorf("lock %s: %w", name, fs.ErrNotExist)
	}
	if until.Before(o.locked) {
		return fmt.Errorf("lock %s: stands until %s: %w", name, o.locked.Format(time.RFC3339), fs.ErrPermission)
	}
	o.locked = until
	s.objects[name] = o
	return nil
}

// LockedUntil implements store.Locker.
func (s Locking) LockedUntil(ctx context.Context, name string) (time.Time, error) {
	o, err := s.find(ctx, name)
	if err != nil {
		return time.Time{}, fmt.Errorf("read lock of %s: %w", name, err)
	}
	return o.locked, nil
}
