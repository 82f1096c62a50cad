package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// load opens and verifies all journals of the folder.
func (s *Spool) load() error {
	numbers, err := listJournals(s.dir)
	if err != nil {
		return err
	}
	for i, n := range numbers {
		if i > 0 && n != numbers[i-1]+1 {
			missing := filepath.Join(s.dir, journalName(numbers[i-1]+1))
			return &CorruptError{File: missing, Detail: "the file is missing"}
		}
		j, head, err := s.openJournal(n, i == len(numbers)-1)
		if err != nil {
			return err
		}
		if j == nil {
			break // the last one never came to be
		}
		s.journals = append(s.journals, j)
		if i > 0 {
			s.journals[i-1].end = head.prevLen
		} else {
			s.batch, s.book = head.batch, head.bookmark()
		}
	}
	for i, j := range s.journals {
		if err := s.verify(j, i == len(s.journals)-1); err != nil {
			return err
		}
		s.bytes += j.end
	}
	return nil
}

// openJournal opens a journal and reads its head. It gives nil, after deleting the file, for a last journal whose
// creation was cut short.
func (s *Spool) openJournal(n uint64, last bool) (*journal, *record, error) {
	j := &journal{number: n, path: filepath.Join(s.dir, journalName(n))}
	mode := os.O_RDWR
	if s.readOnly {
		mode = os.O_RDONLY
	}
	f, err := os.OpenFile(j.path, mode, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	j.f, j.end = f, info.Size()
	w := &window{r: f, limit: j.end}
	head, p, err := w.record(0)
	if err == nil && (head.kind != kindHead || head.journal != n) {
		err = errors.New("the file is not the journal that its name says")
		last = false
	}
	if err == nil {
		j.body, j.begins = p.size(), head.bookmark()
		j.last = j.begins.Position
		return j, head, nil
	}
	if unreadable(err) {
		return nil, nil, errors.Join(err, f.Close())
	}
	// A first journal may be cut short too; a later one without those before it held the bookmark.
	if _, later := findLater(w, 0, n, 0); !last || later || len(s.journals) == 0 && n != 1 {
		return nil, nil, errors.Join(j.corrupt(0, err.Error()), f.Close())
	}
	s.torn += j.end
	if s.readOnly {
		return nil, nil, f.Close()
	}
	return nil, nil, j.drop()
}

// verify reads every record of j and leaves the spool's bookmark behind it. In the last journal it cuts off a torn
// end.
func (s *Spool) verify(j *journal, last bool) error {
	size := j.end
	if info, err := j.f.Stat(); err != nil {
		return err
	} else if info.Size() < size {
		return j.corrupt(info.Size(), fmt.Sprintf("the file has %d bytes, the next one says that it had %d", info.Size(), size))
	}
	if !sameBookmark(j.begins, s.book) {
		return j.corrupt(0, fmt.Sprintf("the log goes on from %s, the file begins at %s", s.book.Position, j.begins.Position))
	}
	w := &window{r: j.f, limit: size}
	v := verifier{batch: s.batch, book: s.book, end: j.body, parted: s.parted}
	inside := v.parted
	off := j.body
	for off < size {
		r, p, err := w.record(off)
		if err == nil {
			err = w.checkData(off, p)
		}
		if unreadable(err) {
			return err
		}
		if err == nil {
			if err := v.take(j, r); err != nil {
				return j.corrupt(off, err.Error())
			}
			off += p.size()
			inside = parted(inside, r, p.data)
			if r.last {
				v.commit(off)
				v.parted = inside
			}
			continue
		}
		if at, later := findLater(w, off+1, j.number, v.batch+1); !last || later {
			detail := err.Error()
			if later {
				detail = fmt.Sprintf("%v, and a later batch follows at byte %d", err, at)
			}
			return j.corrupt(off, detail)
		}
		break
	}
	s.batch, s.book, j.last = v.batch, v.book, v.book.Position
	s.parted, j.parted = v.parted, v.parted
	if v.end == size {
		return nil
	}
	if !last {
		return j.corrupt(v.end, "a batch is not complete")
	}
	if empty, err := w.zeros(v.end); err != nil {
		return err
	} else if !empty {
		s.torn += size - v.end
	}
	j.end = v.end
	if s.readOnly {
		return nil
	}
	if err := j.f.Truncate(v.end); err != nil {
		return err
	}
	return s.sync(j.f)
}

// unreadable reports whether err came from the disk, which says nothing about what was written.
func unreadable(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path)
}

// verifier follows the records of a journal and remembers the last complete batch.
type verifier struct {
	batch uint64 // the last complete one
	book  engine.Bookmark
	end   int64

	parted bool // the last complete one ends inside a commit

	open    bool // a batch has begun
	pending engine.Bookmark
}

func (v *verifier) take(j *journal, r *record) error {
	if !v.open {
		v.open, v.pending = true, v.book
	}
	switch {
	case r.journal != j.number:
		return fmt.Errorf("the record belongs to journal %d", r.journal)
	case r.batch != v.batch+1:
		return fmt.Errorf("the record belongs to batch %d, not %d", r.batch, v.batch+1)
	case r.kind == kindHead:
		return errors.New("a second head")
	case r.kind == kindPiece && !r.piece.From.Equal(v.pending.Position):
		return fmt.Errorf("the log goes on from %s, the record begins at %s", v.pending.Position, r.piece.From)
	}
	if r.kind != kindSeal {
		v.pending = advance(v.pending, r)
	}
	return nil
}

func (v *verifier) commit(end int64) {
	v.batch, v.book, v.end, v.open = v.batch+1, v.pending, end, false
}

// advance gives the bookmark after r.
func advance(b engine.Bookmark, r *record) engine.Bookmark {
	n := r.bookmark()
	if r.kind == kindPiece && r.piece.Until.IsZero() {
		n.Time = b.Time
	}
	return n
}

func sameBookmark(a, b engine.Bookmark) bool {
	return a.Position == b.Position && a.Time.Equal(b.Time) && bytes.Equal(a.Token, b.Token)
}

// findLater looks from off on for a record of this journal that belongs to a batch after the given one.
func findLater(w *window, off int64, journal, batch uint64) (int64, bool) {
	for off+prefixLen <= w.limit {
		b, err := w.bytes(off, min(windowSize, w.limit-off))
		if err != nil {
			return 0, false
		}
		i := bytes.Index(b, magic[:])
		if i < 0 {
			off += int64(len(b)) - int64(len(magic)) + 1
			continue
		}
		off += int64(i)
		if r, _, err := w.record(off); err == nil && r.journal == journal && r.batch > batch {
			return off, true
		}
		off++
	}
	return 0, false
}

// first is the position that the oldest journal begins at.
func (s *Spool) first() history.Position {
	if len(s.journals) == 0 {
		return s.book.Position
	}
	return s.journals[0].begins.Position
}
