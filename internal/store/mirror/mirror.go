// Package mirror reads a store of which other stores hold equal objects. What is missing in the first, cannot be read
// there, or turned out to be damaged there, is read from another, and whoever asks is told.
//
// It compares nothing: that an object is what it must be is seen by who reads it, who then calls Elsewhere and reads
// again. Everything but Open goes to the first store alone.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/backstaydb/backstay/internal/store"
)

// Source is a store and what people call it.
type Source struct {
	Name  string
	Store store.Store
}

// Taken is an object that was read from another store than the first.
type Taken struct {
	Object string
	Lacks  string // where it is missing, damaged or cannot be read
	From   string // where it was read instead
	Err    error  // what is wrong with it there
}

// Store is a store with mirrors. Its methods are safe for concurrent use.
type Store struct {
	store.Store
	sources []Source
	equal   func(name string) bool

	mu    sync.Mutex
	next  map[string]int // by object: the source that is read; the first where there is none
	taken []Taken
}

// New returns first with the others behind it. equal says of which names all stores hold equal objects, if they hold
// them at all; every other name is read from the first alone.
func New(first Source, others []Source, equal func(name string) bool) *Store {
	return &Store{Store: first.Store, sources: append([]Source{first}, others...), equal: equal, next: map[string]int{}}
}

// Open implements store.Store. A source that fails while it is read is left for the next one at the byte it came to.
func (s *Store) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r := &reader{ctx: ctx, s: s, name: name, offset: offset, length: length}
	if err := r.open(); err != nil {
		return nil, err
	}
	return r, nil
}

// Elsewhere says that what was read of an object is not what it must be, as cause tells. From now on it is read from
// another store that has it; ok is false if none is left.
func (s *Store) Elsewhere(ctx context.Context, name string, cause error) (from string, ok bool) {
	for at := s.at(name); ; at++ {
		if !s.pass(name, at, cause) {
			return "", false
		}
		if _, cause = s.sources[at+1].Store.Stat(ctx, name); cause == nil {
			return s.sources[at+1].Name, true
		}
	}
}

// Taken lists what was read from another store than the first, in the order in which that began.
func (s *Store) Taken() []Taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Taken(nil), s.taken...)
}

func (s *Store) at(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next[name]
}

// pass gives up source at for an object; false if there is no other.
func (s *Store) pass(name string, at int, cause error) bool {
	if at+1 >= len(s.sources) || !s.equal(name) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next[name] == at { // else another reader found out too
		s.next[name] = at + 1
		s.taken = append(s.taken, Taken{Object: name, Lacks: s.sources[at].Name, From: s.sources[at+1].Name, Err: cause})
	}
	return true
}

// reader reads one range.
type reader struct {
	ctx            context.Context // of Open: what goes on elsewhere is the same request
	s              *Store
	name           string
	offset, length int64 // of what is still to come
	at             int   // source
	body           io.ReadCloser
	pending        error // that came with the last bytes
}

// open opens the rest of the range at the first source from r.at on that gives it.
func (r *reader) open() error {
	r.at = max(r.at, r.s.at(r.name))
	var failures []error
	for {
		body, err := r.s.sources[r.at].Store.Open(r.ctx, r.name, r.offset, r.length)
		if err == nil {
			r.body = body
			return nil
		}
		failures = append(failures, err)
		if r.ctx.Err() != nil || !r.s.pass(r.name, r.at, err) {
			return r.s.failed(failures)
		}
		r.at++
	}
}

// failed is the error of the first source, which is the one that was asked; the others' stand behind it.
func (s *Store) failed(failures []error) error {
	if len(failures) == 1 {
		return failures[0]
	}
	return fmt.Errorf("%w (nor is it in another repository: %w)", failures[0], errors.Join(failures[1:]...))
}

func (r *reader) Read(p []byte) (int, error) {
	for {
		n, err := 0, r.pending
		if err == nil {
			n, err = r.body.Read(p)
		}
		r.pending = nil
		r.offset += int64(n)
		if r.length >= 0 {
			r.length -= int64(n)
		}
		if n > 0 {
			r.pending = err
			return n, nil
		}
		if err == nil || err == io.EOF || r.ctx.Err() != nil || !r.s.pass(r.name, r.at, err) {
			return 0, err
		}
		failed := r.body
		r.at++
		if opened := r.open(); opened != nil {
			r.body = failed
			return 0, errors.Join(err, opened)
		}
		_ = failed.Close() // it failed already
	}
}

func (r *reader) Close() error { return r.body.Close() }
