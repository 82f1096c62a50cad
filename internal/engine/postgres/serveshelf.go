package postgres

import (
	"context"
	"sync"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// shelf says which segment files stand ready for the server. It has room for a few: whoever fills it waits.
type shelf struct {
	room int // files; at least 1

	mu      sync.Mutex
	changed chan struct{} // closed and made anew with each change
	ready   map[wal.LSN]string
	upTo    wal.LSN // every file that begins before it has stood here
	waiting bool    // the filler waits for room
	ended   bool    // nothing will come after upTo
}

func newShelf(room int, first wal.LSN) *shelf {
	return &shelf{room: room, changed: make(chan struct{}), ready: map[wal.LSN]string{}, upTo: first}
}

func (s *shelf) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait waits until ok returns true. It holds the lock while it asks.
func (s *shelf) wait(ctx context.Context, ok func() bool) error {
	for {
		s.mu.Lock()
		done, changed := ok(), s.changed
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// waitForRoom is for the filler, before it begins a file.
func (s *shelf) waitForRoom(ctx context.Context) error {
	return s.wait(ctx, func() bool {
		full := len(s.ready) >= s.room
		if full != s.waiting {
			s.waiting = full
			s.notify()
		}
		return !full
	})
}

// put makes the file that begins at first ready; the next one begins at next.
func (s *shelf) put(first, next wal.LSN, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready[first], s.upTo = name, next
	s.notify()
}

// end says that the log ends with what was put.
func (s *shelf) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.notify()
}

func (s *shelf) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// found is where a file is that was asked for.
type found int

const (
	nowhere found = iota // the log ends before it
	onShelf
	elsewhere // it was taken before, or is far ahead of what is being filled
)

// take waits for the file that begins at first, and takes it away.
func (s *shelf) take(ctx context.Context, first wal.LSN) (name string, where found, err error) {
	err = s.wait(ctx, func() bool {
		var ok bool
		if name, ok = s.ready[first]; ok {
			delete(s.ready, first)
			where = onShelf
			s.notify()
			return true
		}
		switch {
		case first < s.upTo || s.waiting:
			where = elsewhere
		case s.ended:
			where = nowhere
		default:
			return false
		}
		return true
	})
	return name, where, err
}
