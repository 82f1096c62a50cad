package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// Cursor is a place between two entries. The zero Cursor is before the oldest.
type Cursor struct {
	journal uint64
	offset  int64
}

// Entry is one piece of log, or a break, in the spool.
type Entry struct {
	Piece  engine.Piece // Data is nil: see Size and Data
	Hole   bool         // of a piece: nobody was watching between the piece before it and Since
	Break  bool         // a line ended, another begins at Piece.To; Piece.Until, Token and Fork belong to it
	Gap    *history.Gap // of a break, if something was lost
	Before Cursor       // where to read to get this entry again
	After  Cursor       // where to read on
	Ref
}

// Ref is where the data of a piece lies: small enough to be kept by the hundred thousand.
type Ref struct {
	Size int64 // bytes of data

	j   *journal
	off int64
	sum uint32
}

// Data reads the bytes of the piece into dst, which it grows as needed, and verifies them. It fails with ErrReleased
// when they were released meanwhile.
func (r Ref) Data(dst []byte) ([]byte, error) {
	if int64(cap(dst)) < r.Size {
		dst = make([]byte, r.Size)
	}
	dst = dst[:r.Size]
	if r.Size == 0 {
		return dst, nil
	}
	if _, err := r.j.ReadAt(dst, r.off); err != nil && !errors.Is(err, io.EOF) {
		return dst[:0], fmt.Errorf("read spool: %w", err)
	}
	if crc32.Checksum(dst, crcTab) != r.sum {
		return dst[:0], r.j.corrupt(r.off, "checksum of the data does not match")
	}
	return dst, nil
}

// Read gives what is visible now and comes after from, in order. Pieces without data that stand at from come too:
// they say until when the log is whole there. So do those whose data belongs to what follows from: parts of a commit, and
// what was told where a line begins.
func (s *Spool) Read(from history.Position) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for e, err := range s.readFrom(Cursor{}, from) {
			if err == nil && (e.Piece.To.Before(from) || e.Piece.To.Equal(from) && (e.Size > 0 && !isPart(&e.Piece, e.Size) || e.Break)) {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// ReadAfter gives what is visible now and comes after c.
func (s *Spool) ReadAfter(c Cursor) iter.Seq2[Entry, error] {
	return s.readFrom(c, history.Position{})
}

// span is the part of a journal that is visible.
type span struct {
	j          *journal
	begin, end int64
}

// spans lists what is visible after c, without the journals that end before from.
func (s *Spool) spans(c Cursor, from history.Position) ([]span, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.journal > 0 && len(s.journals) > 0 && c.journal < s.journals[0].number {
		c = Cursor{} // what lay between has been released, so whoever asks has it
	}
	var spans []span
	for _, j := range s.journals {
		if j.number < c.journal || j.last.Before(from) {
			continue
		}
		begin := j.body
		if j.number == c.journal {
			begin = c.offset
		}
		if begin > j.end {
			return nil, fmt.Errorf("read spool: cursor lies beyond the end of %s", j.path)
		}
		spans = append(spans, span{j, begin, j.end})
	}
	return spans, nil
}

func (s *Spool) readFrom(c Cursor, from history.Position) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		spans, err := s.spans(c, from)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		for _, sp := range spans {
			w := &window{r: sp.j, limit: sp.end}
			for off := sp.begin; off < sp.end; {
				r, p, err := w.record(off)
				if err != nil {
					if !errors.Is(err, ErrReleased) {
						err = sp.j.corrupt(off, err.Error())
					}
					yield(Entry{}, err)
					return
				}
				e := entry(sp.j, r, p, off)
				off += p.size()
				if r.kind != kindSeal && !yield(e, nil) {
					return
				}
			}
		}
	}
}

func entry(j *journal, r *record, p prefix, off int64) Entry {
	return Entry{
		Piece: r.piece, Hole: r.hole, Break: r.kind == kindBreak || r.kind == kindFork, Gap: r.gap,
		Before: Cursor{journal: j.number, offset: off}, After: Cursor{journal: j.number, offset: off + p.size()},
		Ref: Ref{Size: p.data, j: j, off: off + prefixLen + p.header, sum: p.dataCRC},
	}
}
