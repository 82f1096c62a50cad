package recovery

import (
	"context"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// watchedLog is the log of a chain, put together from a repository and a spool. It notes what was read, how long
// that took, and the first failure: an engine may report it in its own words, or as something else.
type watchedLog struct {
	parts []engine.Log // which serves segment i
	index []int        // and under which number there
	all   []history.Segment

	elsewhere func(ctx context.Context, err error) bool // finds another copy of what is damaged; nil for none

	mu     sync.Mutex
	spent  time.Duration // in which at least one read was waiting
	since  time.Time     // when the first of the reads that wait now began
	busy   int
	bytes  int64
	looked int // the segment that was looked into last; -1 for none
	failed *history.Segment
	err    error
}

// joinLogs serves segments from spool where that has one of the name, else from the repository.
func joinLogs(segments []history.Segment, repository func([]history.Segment) engine.Log, spool engine.Log) *watchedLog {
	w := &watchedLog{all: segments, looked: -1}
	at := map[string]int{}
	if spool != nil {
		for i, s := range spool.Segments() {
			at[s.Name] = i
		}
	}
	var stored []history.Segment
	for _, s := range segments {
		if _, ok := at[s.Name]; !ok {
			stored = append(stored, s)
		}
	}
	var log engine.Log
	if len(stored) > 0 {
		log = repository(stored)
	}
	n := 0
	for _, s := range segments {
		if i, ok := at[s.Name]; ok {
			w.parts, w.index = append(w.parts, spool), append(w.index, i)
			continue
		}
		w.parts, w.index = append(w.parts, log), append(w.index, n)
		n++
	}
	return w
}

func (w *watchedLog) Segments() []history.Segment { return w.all }

func (w *watchedLog) Open(ctx context.Context, i int) (engine.LogSegment, error) {
	defer w.wait()()
	s, err := w.parts[i].Open(ctx, w.index[i])
	for err != nil && w.again(ctx, err) {
		s, err = w.parts[i].Open(ctx, w.index[i])
	}
	if err != nil && ctx.Err() != nil {
		return nil, err // an engine that has failed gives up what it opens ahead: that is no failure of the log
	}
	if err != nil {
		return nil, w.note(i, err)
	}
	return &watchedSegment{LogSegment: s, log: w, i: i}, nil
}

// again reports whether another copy was found of what turned out to be damaged, which is read from now on.
func (w *watchedLog) again(ctx context.Context, err error) bool {
	return w.elsewhere != nil && ctx.Err() == nil && w.elsewhere(ctx, err)
}

// wait counts the time until the returned function is called; reads that overlap count once.
func (w *watchedLog) wait() func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy == 0 {
		w.since = time.Now()
	}
	w.busy++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.busy--
		if w.busy == 0 {
			w.spent += time.Since(w.since)
		}
	}
}

// note keeps the first failure of any segment.
func (w *watchedLog) note(i int, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.failed, w.err = &w.all[i], err
	}
	return err
}

func (w *watchedLog) failure() (history.Segment, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		return history.Segment{}, nil
	}
	return *w.failed, w.err
}

// last is the segment that was looked into last: an engine may open others ahead.
func (w *watchedLog) last() (history.Segment, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.looked < 0 {
		return history.Segment{}, false
	}
	return w.all[w.looked], true
}

// read says how much was read and how long that kept its readers.
func (w *watchedLog) read() (bytes int64, spent time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes, w.spent
}

type watchedSegment struct {
	engine.LogSegment
	log *watchedLog
	i   int
}

// look notes that the engine is at this segment.
func (s *watchedSegment) look() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.looked = s.i
}

func (s *watchedSegment) Entries() []engine.LogEntry {
	s.look()
	return s.LogSegment.Entries()
}

func (s *watchedSegment) Read(ctx context.Context, e engine.LogEntry) (io.ReadCloser, error) {
	s.look()
	defer s.log.wait()()
	r, err := s.LogSegment.Read(ctx, e)
	if err != nil {
		return nil, s.log.note(s.i, err)
	}
	watched := &watchedReader{ReadCloser: r, ctx: ctx, s: s}
	if at, ok := r.(io.ReaderAt); ok {
		return &watchedReaderAt{watched, at}, nil
	}
	return watched, nil
}

func (s *watchedSegment) Marks(ctx context.Context) iter.Seq2[history.Mark, error] {
	s.look()
	return func(yield func(history.Mark, error) bool) {
		given, more := 0, true
		for more {
			given, more = s.marksFrom(ctx, given, yield)
		}
	}
}

// marksFrom gives the marks from number given on. It returns how many were given, and whether to go on from there: with
// another copy of what was damaged.
func (s *watchedSegment) marksFrom(ctx context.Context, given int, yield func(history.Mark, error) bool) (int, bool) {
	n := 0
	for m, err := range s.LogSegment.Marks(ctx) {
		if err != nil && s.log.again(ctx, err) {
			return given, true
		}
		if err != nil {
			yield(m, s.log.note(s.i, err))
			return given, false
		}
		if n++; n <= given {
			continue
		}
		given++
		if !yield(m, nil) {
			return given, false
		}
	}
	return given, false
}

type watchedReader struct {
	io.ReadCloser
	ctx context.Context // of Read of the segment
	s   *watchedSegment
}

func (r *watchedReader) Read(p []byte) (int, error) {
	return r.watch(func() (n int, err error) {
		for more := true; more; {
			n, err = r.ReadCloser.Read(p)
			more = n == 0 && r.again(err)
		}
		return n, err
	})
}

// again reports whether another copy was found of what failed with err.
func (r *watchedReader) again(err error) bool {
	return err != nil && err != io.EOF && r.s.log.again(r.ctx, err)
}

// watch counts one reading and notes how it failed.
func (r *watchedReader) watch(read func() (int, error)) (int, error) {
	done := r.s.log.wait()
	n, err := read()
	done()
	r.s.log.mu.Lock()
	r.s.log.bytes += int64(n)
	r.s.log.mu.Unlock()
	if err != nil && err != io.EOF {
		err = r.s.log.note(r.s.i, err)
	}
	return n, err
}

// watchedReaderAt is a watchedReader of a log that can give any piece of an entry.
type watchedReaderAt struct {
	*watchedReader
	at io.ReaderAt
}

func (r *watchedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	return r.watch(func() (have int, err error) {
		for more := true; more; {
			var n int
			n, err = r.at.ReadAt(p[have:], off+int64(have))
			have += n
			more = r.again(err)
		}
		return have, err
	})
}

// OpenLog is the log of a plan, from the repository and the spool.
func OpenLog(p Plan, o Origin, spool engine.Log) engine.Log {
	return joinLogs(p.Chain.Segments, o.OpenLog, spool)
}
