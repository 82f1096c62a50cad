// Package mem keeps objects in memory, for tests: it behaves as a folder on one host does, and Crash shows what such a
// folder may look like after the power failed. Nothing outlives the process.
package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/store"
)

// ErrCrashed is what a Put that was under way during Crash returns.
var ErrCrashed = errors.New("store crashed")

// Store is a store.Store in memory. Use New.
type Store struct {
	mu        sync.Mutex
	objects   map[string]object
	unsettled map[string]object // deleted since the last Put: a crash brings them back
	crashes   int
}

type object struct {
	data    []byte // never changed once it is here
	created time.Time
	locked  time.Time
}

// New returns an empty store.
func New() *Store {
	return &Store{objects: map[string]object{}, unsettled: map[string]object{}}
}

// Crash does what a power failure may do to a folder: every Put under way fails and leaves nothing, and objects
// deleted since the last Put are back. What a Put has reported as stored stays.
func (s *Store) Crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crashes++
	for name, o := range s.unsettled {
		if _, taken := s.objects[name]; !taken {
			s.objects[name] = o
		}
	}
	clear(s.unsettled)
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := s.put(ctx, name, r, size); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := store.ValidName(name); err != nil {
		return err
	}
	s.mu.Lock()
	_, taken := s.objects[name]
	began := s.crashes
	s.mu.Unlock()
	if taken {
		return fs.ErrExist
	}
	data, err := io.ReadAll(store.Input(ctx, r, size))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch _, taken := s.objects[name]; {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.crashes != began:
		return ErrCrashed
	case taken:
		return fs.ErrExist
	}
	s.objects[name] = object{data: data, created: time.Now()}
	clear(s.unsettled)
	return nil
}

// Open implements store.Store.
func (s *Store) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	o, err := s.find(ctx, name)
	if err == nil {
		err = store.ValidRange(offset, length)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	data := o.data[min(offset, int64(len(o.data))):]
	if length >= 0 {
		data = data[:min(length, int64(len(data)))]
	}
	return io.NopCloser(store.Input(ctx, bytes.NewReader(data), -1)), nil
}

// Stat implements store.Store.
func (s *Store) Stat(ctx context.Context, name string) (store.Object, error) {
	o, err := s.find(ctx, name)
	if err != nil {
		return store.Object{}, fmt.Errorf("stat %s: %w", name, err)
	}
	return store.Object{Name: name, Size: int64(len(o.data)), Created: o.created}, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, visit func(store.Object) error) error {
	for _, o := range s.listing(prefix) {
		if ctx.Err() != nil {
			return fmt.Errorf("list %q: %w", prefix, context.Cause(ctx))
		}
		if err := visit(o); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("list %q: %w", prefix, context.Cause(ctx))
	}
	return nil
}

// Delete implements store.Store. A locked object is refused.
func (s *Store) Delete(ctx context.Context, name string) error {
	o, err := s.find(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && time.Now().Before(o.locked) {
		err = fmt.Errorf("locked until %s: %w", o.locked.Format(time.RFC3339), fs.ErrPermission)
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, name)
	s.unsettled[name] = o
	return nil
}

// Properties implements store.Store.
func (s *Store) Properties() store.Properties {
	return store.Properties{ConditionalCreate: true, Local: true, TipInterval: 250 * time.Millisecond}
}

// String implements store.Store.
func (s *Store) String() string { return "memory" }

func (s *Store) find(ctx context.Context, name string) (object, error) {
	if ctx.Err() != nil {
		return object{}, context.Cause(ctx)
	}
	if err := store.ValidName(name); err != nil {
		return object{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[name]
	if !ok {
		return object{}, fs.ErrNotExist
	}
	return o, nil
}

func (s *Store) listing(prefix string) []store.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []store.Object
	for name, o := range s.objects {
		if strings.HasPrefix(name, prefix) {
			list = append(list, store.Object{Name: name, Size: int64(len(o.data)), Created: o.created})
		}
	}
	slices.SortFunc(list, func(a, b store.Object) int { return strings.Compare(a.Name, b.Name) })
	return list
}
