package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// imprint is what shows, without reading the database, that somebody wrote it.
type imprint struct {
	change uint32 // the file change counter, raised by every commit in rollback-journal mode
	size   int64
	time   time.Time // of the last write
}

// quiet is by how much an imprint's time must be past before the imprint vouches for what is read after it: file systems
// stamp in steps of some milliseconds.
const quiet = 50 * time.Millisecond

// lockFree is the size from which on a file is compared without the lock first.
const lockFree = 32 << 20

// longestRest bounds how long changes wait so that writers who go on all the time do not wait for one comparison after another.
const longestRest = 750 * time.Millisecond

func (s *Source) imprint() (imprint, dbHeader, error) {
	h, err := readHeader(s.files.db)
	if err != nil {
		return imprint{}, h, err
	}
	info, err := s.files.db.Stat()
	if err != nil {
		return imprint{}, h, err
	}
	return imprint{h.change, info.Size(), info.ModTime()}, h, nil
}

// roundRollback looks whether the database was written, and ships what changed.
func (s *Source) roundRollback(ctx context.Context, b *batch) error {
	before := s.now()
	p, h, err := s.imprint()
	if err != nil {
		return s.unreadable(err)
	}
	if h.wal {
		return s.enterWAL(ctx, b)
	}
	if p != s.looked {
		if time.Now().Before(s.lookAfter) {
			return b.flush()
		}
		return s.look(ctx, b, nil)
	}
	if before.Sub(s.head.until) >= s.limits.idleEvery {
		s.head.until = before
		b.last = s.head
		b.idle(s.head)
	}
	return b.flush()
}

// unreadable sorts out what it means that the header cannot be read.
func (s *Source) unreadable(err error) error {
	if errors.Is(err, errNotDatabase) {
		return s.gap(s.head.position, "the file is no database any more")
	}
	return err
}

// look compares the database with the table of sums under a shared lock and ships all changes as one commit. within is
// called under the lock with the new table, once it is sure; it may be nil.
func (s *Source) look(ctx context.Context, b *batch, within func(table, uint32) error) error {
	start := time.Now()
	guess, guessed, err := s.lookAhead(ctx)
	if err != nil {
		return err
	}
	lock, err := s.share(ctx, time.Second)
	if isBusy(err) {
		return nil // a writer is at it for longer; the next look finds it
	}
	if err != nil {
		return explain(s.path, err)
	}
	defer func() { lock.release() }()
	began := time.Now()
	now, h, err := s.imprint()
	if err != nil {
		return s.unreadable(err)
	}
	if h.wal {
		return nil
	}
	if s.head.pages > 0 && h.pageSize != 0 && h.pageSize != s.head.pageSize {
		return s.gap(s.head.position, "the page size changed from %d to %d", s.head.pageSize, h.pageSize)
	}
	t := guess
	s.raced = guess != nil && now != guessed
	if t == nil || s.raced {
		if t, err = tableOf(ctx, s.files.db, h.pageSize, filePages(now, h)); err != nil {
			return err
		}
	}
	s.count(func(n *Counters) { n.Compares++ })
	if within != nil {
		if err := within(t, h.pageSize); err != nil {
			return err
		}
	}
	buffer := &spill{dir: s.options.StateDir}
	defer buffer.close()
	next, changed, err := s.encodeLook(t, h, buffer)
	lock.release()
	lock = nil
	held := time.Since(began)
	s.heldUp(held)
	if err != nil {
		return err
	}
	s.lookAfter = time.Now().Add(min(max(3*held, time.Since(start)), longestRest))
	first := s.looked == imprint{}
	s.looked = now
	if !changed {
		return nil
	}
	if first { // made while nobody was watching, nobody knows when
		s.head.until, b.since = next.until, next.until
		next.until = next.until.Add(time.Microsecond)
	}
	b.last = s.head
	b.begin(next.position.Seq)
	if _, err := buffer.WriteTo(b); err != nil {
		return err
	}
	if err := b.end(next, history.Mark{Position: next.position, Time: next.until}); err != nil {
		return err
	}
	if err := b.flush(); err != nil {
		return err
	}
	s.count(func(n *Counters) { n.Commits++ })
	s.head, s.table = next, t
	s.keepTable(tableSmall)
	return nil
}

// lookAhead sums up a large database before the lock is taken. The result counts if nobody wrote meanwhile. Where somebody did
// the last time, it is not tried this time.
func (s *Source) lookAhead(ctx context.Context) (table, imprint, error) {
	p, h, err := s.imprint()
	if young := quiet - time.Since(p.time); err == nil && p.size >= lockFree && !s.raced && young > 0 && young <= quiet {
		time.Sleep(young)
		p, h, err = s.imprint()
	}
	if err != nil {
		return nil, p, s.unreadable(err)
	}
	if p.size < lockFree || h.wal || s.raced || time.Since(p.time) < quiet {
		return nil, p, nil
	}
	t, err := tableOf(ctx, s.files.db, h.pageSize, filePages(p, h))
	return t, p, err
}

// filePages is the size of the file in pages.
func filePages(p imprint, h dbHeader) uint32 {
	if h.pageSize == 0 {
		return 0
	}
	return uint32(p.size / int64(h.pageSize))
}

// encodeLook writes the LTX file of all that differs between s.table and t.
func (s *Source) encodeLook(t table, h dbHeader, w io.Writer) (head, bool, error) {
	changed := s.table.changes(t)
	if len(changed) == 0 && len(t) == len(s.table) {
		return head{}, false, nil
	}
	next := s.head
	next.position = history.At(s.head.position.Timeline, s.head.position.Seq+1)
	next.until = laterOf(s.now(), s.head.until.Add(time.Microsecond))
	next.pages, next.sum, next.change = uint32(len(t)), t.sum(), h.change
	if h.pageSize != 0 {
		next.pageSize = h.pageSize
	}
	tx := &transaction{txid: next.position.Seq, pageSize: next.pageSize, before: s.head.pages, commit: next.pages, time: next.until,
		pages: changed, after: &next.sum,
		read:   func(p uint32, into []byte) error { return readPage(s.files.db, p, into) },
		newSum: func(uint32, uint64) {}}
	if _, err := tx.encode(w, s.head.sum); err != nil {
		return head{}, false, fmt.Errorf("capture changes: %w", err)
	}
	return next, true, nil
}

// share takes SQLite's shared lock by a read transaction, which first rolls back what a crashed writer left. It waits for writers
// for as long as patience. SQLite has no queue for its locks, and a writer who never rests leaves them for some hundred
// microseconds, so it asks often.
func (s *Source) share(ctx context.Context, patience time.Duration) (*reading, error) {
	deadline := time.Now().Add(patience)
	for {
		r, err := read(ctx, s.writers)
		if !isBusy(err) || time.Now().After(deadline) {
			return r, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Microsecond):
		}
	}
}
