package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// limits are what a source may hold and how often it acts.
type limits struct {
	shipEvery  time.Duration // at least so long between two shipments while commits come
	idleEvery  time.Duration // an idle piece so often
	batchBytes int           // ship when so much has been captured
	checkpoint uint32        // frames in the WAL from which on we checkpoint
	held       int64         // bytes of WAL from which on we no longer hold it back
	lookEvery  time.Duration // rollback-journal mode: how often the change counter is read
}

var defaultLimits = limits{
	shipEvery: 50 * time.Millisecond, idleEvery: time.Second, batchBytes: 4 << 20,
	checkpoint: 1000, held: 1 << 30, lookEvery: 100 * time.Millisecond,
}

// Counters tell which paths ran; tests assert on them.
type Counters struct {
	Commits     int64 // captured one by one
	Generations int64 // times the WAL was seen to begin again
	Checkpoints int64 // passive ones by us that copied frames
	Resets      int64 // checkpoints by us that left the WAL ready to begin again
	Busy        int64 // checkpoints given up because a writer was at work
	Bridges     int64 // missed commits captured as one
	Compares    int64 // whole-file comparisons in rollback-journal mode
	Scans       int64 // whole-file checksums at a resume
	Unpinned    int64 // times the WAL was let go because it grew too large
}

// Source is one database file.
type Source struct {
	path    string // with links followed
	name    string
	options engine.Options
	limits  limits

	// turn is held by whoever uses or changes the fields below: a round of Follow, TakeBase's beginning, Close.
	turn    chan struct{}
	files   *files
	readers *sql.DB  // read-only connections: pins
	writers *sql.DB  // opened for the first checkpoint
	pin     *reading // keeps every frame after head; its mark is not above head
	head    head     // what was captured and shipped, while pin is held
	index   frames   // of head's generation
	watch   *observer
	stop    func() // ends the observer and waits for it
	follow  bool   // Follow is at work

	resetSalt salt      // the generation that resetAt is for
	resetAt   uint32    // checkpoint when the WAL has so many frames
	retryAt   time.Time // and not before

	mu       sync.Mutex
	status   engine.Status
	counters Counters
}

// attach opens descriptors and connections.
func (s *Source) attach(ctx context.Context) error {
	f, err := openFiles(s.path)
	if err != nil {
		return err
	}
	s.files = f
	h, err := readHeader(f.db)
	if errors.Is(err, errNotDatabase) {
		return withHint("an encrypted database (SQLCipher, SEE) cannot be read; otherwise check that this is the right file", "open %s: %w", s.path, err)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", s.path, err)
	}
	if s.readers, err = open(s.path, readOnly); err != nil {
		return err
	}
	r, err := read(ctx, s.readers)
	if err != nil {
		return explain(s.path, err)
	}
	defer r.release()
	if h.wal {
		return s.observe()
	}
	return nil
}

// observe opens the WAL and begins to note when it moves.
func (s *Source) observe() error {
	if s.watch != nil {
		return nil
	}
	if err := s.files.openWAL(); err != nil {
		return explain(s.path, err)
	}
	shm := s.files.shm
	s.watch = newObserver(s.options.Now, func() (walIndex, error) { return readWALIndex(shm) })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	watch := s.watch
	go func() {
		defer close(done)
		watch.run(ctx)
	}()
	s.stop = func() { cancel(); <-done }
	return nil
}

// unobserve ends what observe began.
func (s *Source) unobserve() {
	if s.stop != nil {
		s.stop()
	}
	s.watch, s.stop = nil, nil
}

// detach closes everything: connections first, the writing one last of them, descriptors at the end.
func (s *Source) detach() error {
	s.unobserve()
	s.unpin()
	var errs []error
	for _, db := range []*sql.DB{s.readers, s.writers} {
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

// unpin lets the WAL go; what follows head may be lost from now on.
func (s *Source) unpin() {
	s.pin.release()
	s.pin, s.index, s.head = nil, nil, head{}
}

// enter takes the turn; leave gives it back.
func (s *Source) enter(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.files == nil {
		s.leave()
		return errors.New("use source: it is closed")
	}
	return nil
}

func (s *Source) leave() { <-s.turn }

// Status is engine.Source's.
func (s *Source) Status() engine.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Counters tells which paths ran since Connect.
func (s *Source) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters
}

func (s *Source) count(add func(*Counters)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	add(&s.counters)
}

func (s *Source) report(change func(*engine.Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
}

// Close lets everything go. If the application has no connection left either, and all was captured, SQLite folds the
// WAL into the database, as it does when an application's last connection closes.
func (s *Source) Close() error {
	s.turn <- struct{}{}
	defer s.leave()
	if s.files == nil {
		return nil
	}
	return s.detach()
}

// gap makes the error that asks for a new base.
func (s *Source) gap(from history.Position, format string, args ...any) error {
	return &history.GapError{From: from, Reason: fmt.Sprintf(format, args...)}
}
