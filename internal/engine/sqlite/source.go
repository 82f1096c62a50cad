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
	calmEvery  time.Duration // the same once nothing was committed for calmAfter
	calmAfter  time.Duration
	restAfter  time.Duration // connections that may write are closed once nothing was committed for so long
	batchBytes int           // ship when so much has been captured
	checkpoint uint32        // frames in the WAL from which on we checkpoint
	held       int64         // bytes of WAL from which on we no longer hold it back,
	patience   time.Duration // once a shipment has taken so long
	lookEvery  time.Duration // rollback-journal mode: how often the change counter is read
}

var defaultLimits = limits{
	shipEvery: 50 * time.Millisecond, idleEvery: time.Second, calmEvery: 5 * time.Second, calmAfter: time.Minute, restAfter: restful, batchBytes: 4 << 20,
	checkpoint: 1000, held: 1 << 30, patience: 10 * time.Second, lookEvery: 100 * time.Millisecond,
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
	readers *sql.DB   // read-only connections: pins
	writers *sql.DB   // for checkpoints, and for the shared lock in rollback-journal mode
	follow  bool      // Follow is at work
	head    head      // what was captured and shipped
	busy    time.Time // when commits were captured last, or Follow began

	// In WAL mode.
	pin       *reading          // keeps every frame after head; its mark is not above head
	next      *reading          // the pin of the round that is under way
	index     frames            // of head's generation
	old       map[uint32]uint64 // sums of pages at head, as capture wants them after a resume
	unlock    func()            // lets writers go on, while they wait for a checkpoint
	resetSalt salt              // the generation that resetAt is for
	resetAt   uint32            // checkpoint when the WAL has so many frames
	retryAt   time.Time         // and not before
	stood     ground            // what the last round saw of the database file
	suspect   bool              // somebody else wrote it, as it seems
	suspectAt time.Time         // read it all to be sure, but not before

	// In rollback-journal mode.
	table     table     // of the pages at head
	looked    imprint   // what the last look saw; zero before the first one after a resume
	raced     bool      // somebody wrote during the comparison without the lock
	lookAfter time.Time // no look before then
	batch     *batch    // Follow's

	mu       sync.Mutex // guards the fields below, and the change of watch
	watch    *observer
	stop     func() // ends the observer and waits for it
	durable  head   // what was shipped
	status   engine.Status
	counters Counters
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
	st := s.status
	if s.watch == nil || !s.durable.wal {
		return st
	}
	x, since := s.watch.after(s.durable.salt, s.durable.frame)
	st.HeldBytes = int64(x.frames) * int64(frameHeaderSize+x.pageSize)
	switch {
	case x.salt == s.durable.salt && x.frames > s.durable.frame:
		st.Behind = int64(x.frames-s.durable.frame) * int64(frameHeaderSize+x.pageSize)
	case x.salt != s.durable.salt:
		st.Behind = st.HeldBytes
	}
	if st.Behind > 0 {
		st.Since = since
	}
	return st
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
