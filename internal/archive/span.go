package archive

import (
	"io"
	"iter"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/spool"
)

// span is a stretch of log in the spool: what a tip or a segment is made of. It never runs over a break, and over a
// hole in time only where it begins. It never ends inside a commit that was shipped in parts: those stand at the position
// before the commit, and what joins at positions would leave them out.
type span struct {
	from, to     history.Position
	since, until time.Time
	bytes        int64 // raw
	commits      int64
	oldest       time.Time    // of what is in it
	begin, end   spool.Cursor // around its entries
	located      bool         // begin and end are known
	held         bool         // nobody was watching just before it
	parted       bool         // it ends inside a commit; only while it is extended

	count int           // of its entries
	kept  []spool.Entry // all of them, if they are few: they then need not be read and decoded again

	hole bool         // the next entry comes after a hole in time
	brk  *spool.Entry // the next entry is a break
}

// maxKept is how many entries a span remembers: some 4 MB of them.
const maxKept = 8192

// spanAt is the empty span at a moment.
func spanAt(m history.Moment) span {
	return span{from: m.Position, to: m.Position, since: m.Time, until: m.Time}
}

// after is the empty span behind s. A hole or break that ended s comes first in it.
func (s *span) after() span {
	return span{from: s.to, to: s.to, since: s.until, until: s.until, begin: s.end, end: s.end, located: s.located}
}

// forget drops what s remembers only to be read sooner.
func (s span) forget() span {
	s.kept = nil
	return s
}

// moment is where s ends.
func (s *span) moment() history.Moment { return history.Moment{Position: s.to, Time: s.until} }

// extend takes what is in the spool behind s, up to the first hole or break, or until s has limit bytes; a limit of
// zero is none.
func (s *span) extend(sp *spool.Spool, limit int64) error {
	if s.brk != nil || s.hole {
		return nil
	}
	entries := sp.ReadAfter(s.end)
	if !s.located {
		entries = sp.Read(s.to)
	}
	next := *s // runs ahead of s while a commit is not complete
	for e, err := range entries {
		if err != nil {
			return err
		}
		if e.Break {
			s.brk = &e
			return nil
		}
		if e.Hole && s.bytes > 0 {
			s.hole = true
			return nil
		}
		if next.take(&e); next.parted {
			continue
		}
		*s = next
		if limit > 0 && s.bytes >= limit {
			return nil
		}
	}
	return nil
}

func (s *span) take(e *spool.Entry) {
	if !s.located {
		s.begin, s.located = e.Before, true
		if s.bytes == 0 {
			s.from = e.Piece.From
		}
	}
	if s.count++; s.count <= maxKept && len(s.kept) == s.count-1 {
		s.kept = append(s.kept, *e)
	} else {
		s.kept = nil
	}
	if s.since.IsZero() {
		s.since = e.Piece.Since
	}
	if e.Hole {
		s.since, s.held = e.Piece.Since, true
	}
	if s.bytes == 0 && e.Size > 0 {
		s.oldest = e.Piece.Until
	}
	s.to, s.end = e.Piece.To, e.After
	if e.Piece.Until.After(s.until) {
		s.until = e.Piece.Until
	}
	s.bytes += e.Size
	switch {
	case e.Piece.From.Before(e.Piece.To) || e.Piece.Complete:
		s.parted = false
	case e.Size > 0:
		s.parted = true
	}
	for i := range e.Piece.Marks {
		if e.Piece.Marks[i].Name == "" {
			s.commits++
		}
	}
}

// join puts t, which begins where s ends, behind s.
func (s *span) join(t span) {
	s.to, s.until, s.end = t.to, t.until, t.end
	s.bytes += t.bytes
	s.commits += t.commits
	s.count, s.kept = s.count+t.count, nil
	s.hole, s.brk = t.hole, t.brk
}

func (s *span) segment() history.Segment {
	return history.Segment{From: s.from, To: s.to, Since: s.since, Until: s.until, Commits: s.commits}
}

// reading is a span being read several times; the first error ends it and is kept.
type reading struct {
	sp  *spool.Spool
	s   span
	err error
}

func (r *reading) entries() iter.Seq[spool.Entry] {
	return func(yield func(spool.Entry) bool) {
		if r.s.begin == r.s.end {
			return
		}
		if len(r.s.kept) == r.s.count {
			for i := range r.s.kept {
				if !yield(r.s.kept[i]) {
					return
				}
			}
			return
		}
		for e, err := range r.sp.ReadAfter(r.s.begin) {
			if err != nil {
				r.err = err
				return
			}
			if !yield(e) || e.After == r.s.end {
				return
			}
		}
	}
}

// marks lists the commits and named points.
func (r *reading) marks() iter.Seq[history.Mark] {
	return func(yield func(history.Mark) bool) {
		for e := range r.entries() {
			for _, m := range e.Piece.Marks {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// logFile is one log file, or the part of one that lies in a span.
type logFile struct {
	name     string
	offset   int64
	size     int64
	complete bool
	refs     []spool.Ref
}

func (f *logFile) open() (io.ReadCloser, error) { return &refReader{refs: f.refs}, nil }

// files lists the log files; pieces of one file that follow each other are one.
func (r *reading) files() iter.Seq[logFile] {
	return func(yield func(logFile) bool) {
		var f logFile
		for e := range r.entries() {
			p := &e.Piece
			if e.Size == 0 && p.File == "" {
				continue
			}
			if f.name != "" && (f.name != p.File || f.offset+f.size != p.Offset) {
				if !yield(f) {
					return
				}
				f = logFile{}
			}
			if f.name == "" {
				f = logFile{name: p.File, offset: p.Offset}
			}
			f.size += e.Size
			f.complete = p.Complete
			f.refs = append(f.refs, e.Ref)
		}
		if f.name != "" && r.err == nil {
			yield(f)
		}
	}
}

// packed lists the log files as a sealer takes them.
func (r *reading) packed() iter.Seq[pack.SegmentEntry] {
	return func(yield func(pack.SegmentEntry) bool) {
		for f := range r.files() {
			if !yield(pack.SegmentEntry{File: f.name, Offset: f.offset, Size: f.size, Open: f.open}) {
				return
			}
		}
	}
}

// refReader reads pieces one after the other, straight into the caller's memory where a piece fits there.
type refReader struct {
	refs []spool.Ref
	buf  *[]byte // of refBuffers; nil while none is needed
	rest []byte
}

var refBuffers = sync.Pool{New: func() any { return new([]byte) }}

func (r *refReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if len(r.refs) == 0 {
			return 0, io.EOF
		}
		ref := r.refs[0]
		if ref.Size > 0 && ref.Size <= int64(len(p)) {
			b, err := ref.Data(p[:ref.Size:ref.Size])
			if err == nil {
				r.refs = r.refs[1:]
			}
			return len(b), err
		}
		if r.buf == nil {
			r.buf = refBuffers.Get().(*[]byte)
		}
		var err error
		if *r.buf, err = ref.Data(*r.buf); err != nil {
			return 0, err
		}
		r.rest, r.refs = *r.buf, r.refs[1:]
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *refReader) Close() error {
	if r.buf != nil {
		refBuffers.Put(r.buf)
		r.buf, r.rest, r.refs = nil, nil, nil
	}
	return nil
}

// lineAt is the empty span at the beginning of a line, behind its break.
func lineAt(p history.Position, t time.Time, c spool.Cursor) span {
	return span{from: p, to: p, since: t, until: t, begin: c, end: c, located: true}
}
