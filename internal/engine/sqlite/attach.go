package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/backstaydb/backstay/internal/engine"
)

// attach opens descriptors and connections.
func (s *Source) attach(ctx context.Context) error {
	f, err := openFiles(s.path)
	if err != nil {
		return err
	}
	s.files = f
	h, err := readHeader(f.db)
	if errors.Is(err, errNotDatabase) {
		return engine.WithHint("an encrypted database (SQLCipher, SEE) cannot be read; otherwise check that this is the right file", "open %s: %w", s.path, err)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", s.path, err)
	}
	if s.readers, err = open(s.path, readOnly); err != nil {
		return err
	}
	if s.writers, err = open(s.path, readWrite); err != nil {
		return err
	}
	if !h.wal {
		return s.probeRollback(ctx)
	}
	r, err := read(ctx, s.readers)
	if err != nil {
		return explain(s.path, err)
	}
	defer r.release()
	return s.observe()
}

// reattach begins anew where the files behind the path are others than before.
func (s *Source) reattach(ctx context.Context) error {
	if s.inPlace() == nil {
		return nil
	}
	if _, err := locate(s.path); err != nil {
		return err
	}
	if err := s.detach(); err != nil {
		return err
	}
	return s.attach(ctx)
}

// inPlace returns an error unless the open files are those that the path leads to.
func (s *Source) inPlace() error {
	if _, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
		return engine.WithHint("if it was lost, restore it; if it was moved, protect it under its new name", "follow %s: the database file is gone: %w", s.path, err)
	}
	if !sameFile(s.files.db, s.path) {
		return s.gap(s.head.position, "the database file was replaced by another")
	}
	if s.head.wal && s.files.wal != nil && !(sameFile(s.files.wal, s.path+"-wal") && sameFile(s.files.shm, s.path+"-shm")) {
		return s.gap(s.head.position, "the WAL was removed or replaced by another")
	}
	return nil
}

// observe opens the WAL and begins to note when it moves.
func (s *Source) observe() error {
	if s.watch != nil && sameFile(s.files.shm, s.path+"-shm") && sameFile(s.files.wal, s.path+"-wal") {
		return nil
	}
	s.unobserve()
	if err := s.files.openWAL(); err != nil {
		return explain(s.path, err)
	}
	shm := s.files.shm
	watch := newObserver(s.options.Now, func() (walIndex, error) { return readWALIndex(shm) })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		watch.run(ctx, s.path+"-wal")
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch, s.stop = watch, func() { cancel(); <-done }
	return nil
}

// unobserve ends what observe began.
func (s *Source) unobserve() {
	if s.stop != nil {
		s.stop()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch, s.stop = nil, nil
}

// detach closes everything: connections first, descriptors at the end.
//
// SQLite folds the WAL into the database and removes it when the last connection of all processes closes. If that is
// us, it must happen only when all of it was shipped, else the commits in it are lost to the log. Read-only
// connections do not do it, so the order of closing decides.
func (s *Source) detach() error {
	shipped := s.shippedAll()
	s.unobserve()
	s.unpin()
	pools := []*sql.DB{s.writers, s.readers}
	if shipped {
		if r, err := read(context.Background(), s.writers); err == nil {
			r.release()
			pools = []*sql.DB{s.readers, s.writers}
		}
	}
	var errs []error
	for _, db := range pools {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	s.readers, s.writers = nil, nil
	if s.files != nil {
		errs = append(errs, s.files.close())
		s.files = nil
	}
	return errors.Join(errs...)
}

// shippedAll reports whether nothing stands in the WAL that was not shipped.
func (s *Source) shippedAll() bool {
	if s.watch == nil || s.writers == nil || !s.durable.wal {
		return false
	}
	x, err := s.watch.read()
	return err == nil && x.salt == s.durable.salt && x.frames == s.durable.frame
}

// unpin lets the log go; what follows head may be lost from now on.
func (s *Source) unpin() {
	s.pin.release()
	s.pin, s.index, s.old, s.table, s.head = nil, nil, nil, nil, head{}
	s.stood, s.suspect = ground{}, false
}
