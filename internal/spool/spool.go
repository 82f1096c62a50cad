package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/killpoint"
)

// Options bound a spool.
type Options struct {
	MaxBytes     int64                // Append fails beyond it; zero means 1 GiB
	JournalBytes int64                // a journal is ended when it is larger; zero means 16 MiB, or an eighth of MaxBytes if that is less
	Sync         func(*os.File) error // makes a file durable; nil means fdatasync
	Beside       func() int64         // bytes of the caller's that count against MaxBytes too; nil means none
}

// Spool is an open spool. Its methods are safe for concurrent use.
type Spool struct {
	dir     string
	max     int64
	rotate  int64
	beside  func() int64
	sync    func(*os.File) error
	syncDir func(string) error
	writeAt func(f *os.File, b []byte, off int64) error

	readOnly bool // opened with Peek

	mu       sync.Mutex
	journals []*journal // oldest first; the last one is appended to
	book     engine.Bookmark
	parted   bool   // the log ends inside a commit
	batch    uint64 // the last one written
	bytes    int64  // of all journals
	broken   bool   // the last journal must not be appended to: what is behind its end is not known
	closed   bool
	torn     int64
	appends  int64
	pieces   int64
}

// Stats are facts about a spool.
type Stats struct {
	Bytes    int64            // held on disk, with what lies beside the journals
	MaxBytes int64            // the bound
	Journals int              // files
	First    history.Position // everything after it is still here
	Last     history.Position
	Appends  int64 // since it was opened
	Pieces   int64 // since it was opened
	Torn     int64 // bytes of a batch that was never acknowledged, cut off when it was opened
}

// Open opens the spool in dir, which it makes if it is not there, verifies all of it and cuts off a torn end. Damage
// is a *CorruptError. The caller sees to it that no other process has the folder open.
func Open(dir string, o Options) (*Spool, error) {
	s := &Spool{dir: dir, max: o.MaxBytes, rotate: o.JournalBytes, beside: o.Beside, sync: o.Sync, syncDir: atomicfile.SyncDir, writeAt: writeAt}
	if s.max <= 0 {
		s.max = 1 << 30
	}
	if s.rotate <= 0 {
		s.rotate = min(16<<20, s.max/8)
	}
	if s.sync == nil {
		s.sync = syncData
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open spool: %w", err), s.closeFiles())
	}
	return s, nil
}

func writeAt(f *os.File, b []byte, off int64) error {
	_, err := f.WriteAt(b, off)
	return err
}

// Bookmark is where the log goes on: behind the last piece that was acknowledged. It is zero for a spool that never
// held anything.
func (s *Spool) Bookmark() engine.Bookmark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book
}

// Stats says how much the spool holds.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Bytes: s.held(), MaxBytes: s.max, Journals: len(s.journals), First: s.first(), Last: s.book.Position,
		Appends: s.appends, Pieces: s.pieces, Torn: s.torn,
	}
}

// Append makes pieces durable, with one sync for all of them, and then visible to Read. It fails with ErrFull at the
// bound, with a *ContinuityError if they do not join what is here, and with a *WriteError if the disk refuses them; the
// spool is then as before. A batch larger than the bound is taken by a spool that holds nothing, and a commit of which
// parts are here already is taken to its end: nothing of it can be released before.
func (s *Spool) Append(ctx context.Context, pieces []engine.Piece) error {
	if len(pieces) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	records := make([]record, 0, len(pieces))
	book := s.book
	for _, p := range pieces {
		if p.Fork != nil {
			branch, err := s.branch(book, &p)
			if err != nil {
				return err
			}
			records = append(records, branch)
			book = branch.bookmark()
		}
		if !p.From.Equal(book.Position) {
			return &ContinuityError{Want: book.Position.String(), Got: p.From.String()}
		}
		r := record{kind: kindPiece, batch: s.batch + 1, piece: p}
		r.piece.Fork = nil // the record before it has it
		r.hole = !book.Time.IsZero() && p.Since.After(book.Time)
		book = advance(book, &r)
		records = append(records, r)
	}
	records[len(records)-1].last = true
	if err := s.write(records, true); err != nil {
		return err
	}
	s.book = book
	s.appends++
	s.pieces += int64(len(pieces))
	return nil
}

// branch is the break before a piece that begins on another timeline.
func (s *Spool) branch(book engine.Bookmark, p *engine.Piece) (record, error) {
	f := *p.Fork
	if p.From.Timeline != f.Child || p.From.Seq != f.At.Seq || f.Child <= book.Position.Timeline {
		return record{}, &ContinuityError{Want: "a later timeline than that of " + book.Position.String(), Got: p.From.String()}
	}
	since := book.Time
	if !p.Since.IsZero() && p.Since.Before(since) { // both lines may have been written to for a while
		since = p.Since
	}
	return record{kind: kindFork, batch: s.batch + 1, piece: engine.Piece{From: book.Position, To: p.From, Until: since, Token: p.Token, Fork: &f}}, nil
}

// Reset begins another line at b: the first of all, or the one after a gap. What is here of earlier lines stays
// until it is released; whoever reads finds the break, and the gap if there is one, between them. Lines only go
// forward: b stands at or after the bookmark.
func (s *Spool) Reset(b engine.Bookmark, gap *history.Gap) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.Position.Before(s.book.Position) {
		return &ContinuityError{Want: s.book.Position.String(), Got: b.Position.String()}
	}
	if len(s.journals) == 0 && gap == nil { // nothing ends here
		before := s.book
		s.book = b
		if err := s.begin(); err != nil {
			s.book = before
			return &WriteError{Op: "begin spool", Err: err}
		}
		return nil
	}
	r := record{
		kind: kindBreak, batch: s.batch + 1, last: true, gap: gap,
		piece: engine.Piece{From: s.book.Position, To: b.Position, Until: b.Time, Token: b.Token},
	}
	if err := s.write([]record{r}, false); err != nil {
		return err
	}
	s.book = r.bookmark()
	return nil
}

// write appends one batch. The caller holds mu.
func (s *Spool) write(records []record, bounded bool) error {
	if s.closed {
		return fmt.Errorf("append to spool: %w", os.ErrClosed)
	}
	need := int64(0)
	for i := range records {
		need += prefixLen + 64 + int64(len(records[i].piece.Data)+len(records[i].piece.Token)+16*len(records[i].piece.Marks))
	}
	if held := s.held(); bounded && held+need > s.max && s.holds() && !s.parted {
		return &FullError{Bytes: held, Need: need, Max: s.max}
	}
	if err := s.ready(); err != nil {
		return &WriteError{Op: "append to spool", Need: need, Err: err}
	}
	j := s.journals[len(s.journals)-1]
	end, err := s.writeBatch(j, records)
	if err == nil {
		s.extend(j, end)
		killpoint.At(killpoint.SpoolWritten)
		err = s.sync(j.f)
		s.broken = err != nil // what a failed sync leaves on disk is not known, only that it is behind end
	}
	if err != nil {
		if cut := j.f.Truncate(j.end); cut != nil {
			s.broken = true
		}
		j.room = 0
		if errors.Is(err, errUnwritable) {
			return err
		}
		return &WriteError{Op: "append to spool", Need: need, Err: err}
	}
	killpoint.At(killpoint.SpoolSynced)
	s.bytes += end - j.end
	j.end, j.last = end, records[len(records)-1].piece.To
	for i := range records {
		s.parted = parted(s.parted, &records[i], int64(len(records[i].piece.Data)))
	}
	j.parted = s.parted
	s.batch++
	return nil
}

// held is how many bytes count against the bound.
func (s *Spool) held() int64 {
	if s.beside == nil {
		return s.bytes
	}
	return s.bytes + s.beside()
}

// holds reports whether any journal has more than its head.
func (s *Spool) holds() bool {
	for _, j := range s.journals {
		if j.end > j.body {
			return true
		}
	}
	return false
}

// ready sees to it that the last journal can be appended to.
func (s *Spool) ready() error {
	if n := len(s.journals); n > 0 && !s.broken && s.journals[n-1].end < s.rotate {
		return nil
	}
	return s.begin()
}

// begin begins a new journal.
func (s *Spool) begin() error {
	number, prevLen := uint64(1), int64(0)
	if n := len(s.journals); n > 0 {
		number, prevLen = s.journals[n-1].number+1, s.journals[n-1].end
	}
	j, err := s.createJournal(number, s.book, prevLen)
	if err != nil {
		return err
	}
	j.parted = s.parted
	s.journals, s.broken = append(s.journals, j), false
	s.bytes += j.end
	return nil
}

// writeBuffer is how many bytes of small records are collected for one write.
const writeBuffer = 256 << 10

// writeBatch writes records behind the end of j and returns where they end.
func (s *Spool) writeBatch(j *journal, records []record) (int64, error) {
	var buf []byte
	off := j.end
	flush := func(b []byte) error {
		err := s.writeAt(j.f, b, off)
		off += int64(len(b))
		return err
	}
	for i := range records {
		r := &records[i]
		r.journal = j.number
		var err error
		if buf, err = appendRecord(buf, r, r.piece.Data); err != nil {
			return 0, err
		}
		if len(r.piece.Data) < writeBuffer/2 {
			buf = append(buf, r.piece.Data...)
			if len(buf) < writeBuffer && i < len(records)-1 {
				continue
			}
			if err := flush(buf); err != nil {
				return 0, err
			}
		} else if err := errors.Join(flush(buf), flush(r.piece.Data)); err != nil {
			return 0, err
		}
		buf = buf[:0]
	}
	return off, nil
}

// Release lets go of the journals in which every record is at or before to, and no commit beyond it begins. When that
// is all of them, a new journal keeps the bookmark, and it is durable before the first is deleted.
func (s *Spool) Release(to history.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.journals) == 0 {
		return nil
	}
	active := s.journals[len(s.journals)-1]
	if active.through(to) && active.end > active.body {
		if err := s.begin(); err != nil {
			return fmt.Errorf("release spool: %w", err)
		}
	}
	for len(s.journals) > 1 && s.journals[0].through(to) {
		j := s.journals[0]
		if err := j.drop(); err != nil {
			return fmt.Errorf("release spool: %w", err)
		}
		s.bytes -= j.end
		s.journals = s.journals[1:]
		killpoint.At(killpoint.SpoolReleased)
		// One at a time: after a crash no older journal may be back while a newer one is gone.
		if err := s.syncDir(s.dir); err != nil {
			return fmt.Errorf("release spool: %w", err)
		}
	}
	return nil
}

// Close seals the spool, so that damage to its last batch shows when it is opened again, and closes its files.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readOnly {
		return s.closeFiles()
	}
	if s.closed {
		return nil
	}
	var err error
	if s.holds() {
		err = s.write([]record{{kind: kindSeal, batch: s.batch + 1, last: true, piece: engine.Piece{To: s.book.Position}}}, false)
	}
	s.closed = true
	if n := len(s.journals); err == nil && n > 0 {
		if j := s.journals[n-1]; j.room > 0 {
			err = j.f.Truncate(j.end)
		}
	}
	return errors.Join(err, s.closeFiles())
}

func (s *Spool) closeFiles() error {
	var errs []error
	for _, j := range s.journals {
		j.mu.Lock()
		if j.f != nil {
			errs = append(errs, j.f.Close())
			j.f = nil
		}
		j.mu.Unlock()
	}
	return errors.Join(errs...)
}
