// Package mem keeps documents in memory: for tests, and for what runs in one process.
package mem

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/backstaydb/backstay/internal/lease"
)

// Store is a lease.Store whose documents end with the process.
type Store struct {
	mu      sync.Mutex
	entries map[string]lease.Entry
	changed chan struct{} // closed at each change and replaced
	closed  bool
}

// New returns an empty store.
func New() *Store {
	return &Store{entries: map[string]lease.Entry{}, changed: make(chan struct{})}
}

var errClosed = errors.New("the store is closed")

// Get implements lease.Store.
func (s *Store) Get(ctx context.Context, key string) (lease.Entry, error) {
	e, _, err := s.look(ctx, key)
	return e, err
}

func (s *Store) look(ctx context.Context, key string) (lease.Entry, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return lease.Entry{}, nil, errClosed
	}
	e := s.entries[key]
	e.Value = bytes.Clone(e.Value)
	return e, s.changed, ctx.Err()
}

// Swap implements lease.Store.
func (s *Store) Swap(ctx context.Context, key string, from uint64, value []byte) (lease.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return lease.Entry{}, errClosed
	case ctx.Err() != nil:
		return lease.Entry{}, ctx.Err()
	case s.entries[key].Revision != from:
		return lease.Entry{}, lease.ErrStale
	}
	e := lease.Entry{Value: bytes.Clone(value), Revision: from + 1}
	s.entries[key] = e
	close(s.changed)
	s.changed = make(chan struct{})
	return lease.Entry{Value: bytes.Clone(value), Revision: e.Revision}, nil
}

// Watch implements lease.Store.
func (s *Store) Watch(ctx context.Context, key string, from uint64, tell func(lease.Entry)) error {
	for {
		e, changed, err := s.look(ctx, key)
		if err != nil {
			return err
		}
		if e.Revision > from {
			from = e.Revision
			tell(e)
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// Leads is always true: there is nobody else.
func (s *Store) Leads(ctx context.Context) (bool, error) { return true, ctx.Err() }

// Close ends all watches.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.changed)
	}
	return nil
}
