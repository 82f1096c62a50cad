package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"sync/atomic"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// Log is what a Recorder took, cut into segments.
type Log struct {
	segments []history.Segment
	opened   []*segment

	// Reads counts entries that were read, Condensed those of them that were condensed.
	Reads, Condensed atomic.Int64
}

// Log cuts what was recorded into segments of n log files each. With a Condenser each segment carries a
// condensed file too.
func (r *Recorder) Log(ctx context.Context, n int, c engine.Condenser) (*Log, error) {
	r.mu.Lock()
	files := r.files
	whole := r.whole
	r.mu.Unlock()
	l := &Log{}
	for len(files) > 0 {
		part := files[:min(n, len(files))]
		files = files[len(part):]
		s, err := l.segment(ctx, part, c)
		if err != nil {
			return nil, err
		}
		last := part[len(part)-1]
		h := history.Segment{Name: fmt.Sprintf("%s-%s", part[0].from, last.to), From: part[0].from, To: last.to,
			Since: part[0].since, Until: last.until, Commits: int64(len(part)), Bytes: s.size()}
		if len(files) == 0 {
			h.Until = whole.Time
		} else {
			h.Until = files[0].since
		}
		l.segments, l.opened = append(l.segments, h), append(l.opened, s)
	}
	return l, nil
}

func (l *Log) segment(ctx context.Context, files []*logFile, c engine.Condenser) (*segment, error) {
	s := &segment{log: l, data: map[place][]byte{}}
	var all []engine.CondenseFile
	for _, f := range files {
		for _, p := range f.parts {
			s.entries = append(s.entries, engine.LogEntry{File: p.name, Offset: p.offset, Size: int64(len(p.data))})
			s.data[place{p.name, p.offset}] = p.data
			all = append(all, engine.CondenseFile{Name: p.name, Open: func() (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(p.data)), nil
			}})
		}
		s.marks = append(s.marks, f.marks...)
	}
	if c == nil {
		return s, nil
	}
	var b bytes.Buffer
	name, err := c.Condense(ctx, all, &b)
	if err != nil || name == "" {
		return s, err
	}
	s.entries = append(s.entries, engine.LogEntry{File: name, Size: int64(b.Len()), Condensed: true})
	s.condensed = b.Bytes()
	return s, nil
}

// Segments is engine.Log's.
func (l *Log) Segments() []history.Segment { return l.segments }

// Open is engine.Log's.
func (l *Log) Open(_ context.Context, i int) (engine.LogSegment, error) { return l.opened[i], nil }

// Damage changes one byte of a log file, for tests that must see it noticed.
func (l *Log) Damage(seg, entry, at int) {
	s := l.opened[seg]
	e := s.entries[entry]
	b := bytes.Clone(s.data[place{e.File, e.Offset}])
	b[at] ^= 0x40
	s.data[place{e.File, e.Offset}] = b
}

// place is where a stretch of a file begins.
type place struct {
	file   string
	offset int64
}

type segment struct {
	log       *Log
	entries   []engine.LogEntry
	data      map[place][]byte
	condensed []byte
	marks     []history.Mark
}

func (s *segment) size() (n int64) {
	for _, b := range s.data {
		n += int64(len(b))
	}
	return n
}

// Entries is engine.LogSegment's.
func (s *segment) Entries() []engine.LogEntry { return s.entries }

// Read is engine.LogSegment's.
func (s *segment) Read(_ context.Context, e engine.LogEntry) (io.ReadCloser, error) {
	s.log.Reads.Add(1)
	if e.Condensed {
		s.log.Condensed.Add(1)
		return io.NopCloser(bytes.NewReader(s.condensed)), nil
	}
	return io.NopCloser(bytes.NewReader(s.data[place{e.File, e.Offset}])), nil
}

// Marks is engine.LogSegment's.
func (s *segment) Marks(context.Context) iter.Seq2[history.Mark, error] {
	return func(yield func(history.Mark, error) bool) {
		for _, m := range s.marks {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// Close is engine.LogSegment's.
func (s *segment) Close() error { return nil }
