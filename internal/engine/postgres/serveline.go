package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// line is the log of a chain as one run of bytes, from the segment file in which recovery begins up to the goal.
type line struct {
	log       engine.Log
	size      uint64  // of segment files
	begin     wal.LSN // where recovery begins, a record boundary
	goal      wal.LSN
	timelines []uint32 // in order; the last one is that of the goal
	stretches []stretch
}

// stretch is what one segment of the log gives to the line: it is cut where the next timeline forks off.
type stretch struct {
	index    int // in the log
	timeline uint32
	from, to wal.LSN
}

// newLine lays out the segments of log. It reads none of them.
func newLine(log engine.Log, size uint64, begin, goal wal.LSN, timeline uint32) (line, error) {
	l := line{log: log, size: size, begin: begin, goal: goal}
	segments := log.Segments()
	at := begin.SegmentStart(size)
	for i, s := range segments {
		if s.From.Seq >= s.To.Seq {
			continue
		}
		st := stretch{index: i, timeline: s.To.Timeline, from: at, to: min(wal.LSN(s.To.Seq), goal)}
		for _, next := range segments[i+1:] {
			if next.To.Timeline != st.timeline {
				st.to = min(st.to, wal.LSN(next.From.Seq))
				break
			}
		}
		if st.to <= at {
			continue
		}
		if from := wal.LSN(s.From.Seq); from > max(at, begin) {
			return line{}, damaged("the log from %s to %s is missing", max(at, begin), from)
		}
		if n := len(l.timelines); n == 0 || l.timelines[n-1] != st.timeline {
			l.timelines = append(l.timelines, st.timeline)
		}
		l.stretches = append(l.stretches, st)
		at = st.to
	}
	if at < goal || len(l.stretches) == 0 {
		return line{}, damaged("the log ends at %s, before the target %s", at, goal)
	}
	if last := l.timelines[len(l.timelines)-1]; last != timeline && timeline != 0 {
		return line{}, damaged("the log ends on timeline %d, the target is on %d", last, timeline)
	}
	return l, nil
}

// timeline is that of the goal.
func (l line) timeline() uint32 { return l.timelines[len(l.timelines)-1] }

// name is that of the segment file which holds the byte at p. Where a timeline forks off inside of it, it is that of
// the new one: the server asks for it first and expects all of the file in it.
func (l line) name(p wal.LSN) string {
	end := p.SegmentStart(l.size) + wal.LSN(l.size)
	timeline := l.stretches[0].timeline
	for _, s := range l.stretches {
		if s.from < end {
			timeline = s.timeline
		}
	}
	return wal.SegmentName(timeline, p, l.size)
}

// chunkBytes is how much of the log is handed on at once.
const chunkBytes = 1 << 20

// ahead is how many segments of the log are opened before they are needed.
const ahead = 3

// opened is a segment of the log on its way to whoever reads it.
type opened struct {
	stretch stretch
	segment engine.LogSegment
	err     error
}

// read gives the bytes from from to to, in order, in pieces that are valid until emit returns. What lies before the
// first segment's beginning may be missing: emit then starts later, at begin at the latest.
func (l line) read(ctx context.Context, from, to wal.LSN, emit func(at wal.LSN, p []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	coming := make(chan chan opened, ahead)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.open(ctx, from, to, coming)
	}()
	defer func() {
		cancel()
		<-done
		for next := range coming {
			if o := <-next; o.segment != nil {
				_ = o.segment.Close() // it was only read
			}
		}
	}()
	at, buf := from, make([]byte, chunkBytes)
	for next := range coming {
		o := <-next
		if o.err != nil {
			return o.err
		}
		var err error
		at, err = l.readStretch(ctx, o, at, to, buf, emit)
		if err = errors.Join(err, o.segment.Close()); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if at < to {
		return damaged("the log from %s to %s is missing", at, to)
	}
	return nil
}

// open opens the segments that hold something of from up to to, several at once.
func (l line) open(ctx context.Context, from, to wal.LSN, coming chan<- chan opened) {
	defer close(coming)
	for _, s := range l.stretches {
		if s.to <= from || s.from >= to {
			continue
		}
		next := make(chan opened, 1)
		select {
		case coming <- next:
		case <-ctx.Done():
			return
		}
		go func() {
			segment, err := l.log.Open(ctx, s.index)
			if err != nil {
				err = fmt.Errorf("open segment %s: %w", l.log.Segments()[s.index].Name, err)
			}
			next <- opened{s, segment, err}
		}()
	}
}

// readStretch emits what one segment has of at up to to, and returns how far it went.
func (l line) readStretch(ctx context.Context, o opened, at, to wal.LSN, buf []byte, emit func(wal.LSN, []byte) error) (wal.LSN, error) {
	to = min(to, o.stretch.to)
	for _, e := range o.segment.Entries() {
		timeline, start, err := wal.ParseSegmentName(e.File, l.size)
		if err != nil || timeline != o.stretch.timeline || e.Condensed {
			continue // a history file
		}
		start += wal.LSN(e.Offset)
		end := start + wal.LSN(e.Size)
		if end <= at || start >= to {
			continue
		}
		if start > max(at, l.begin) {
			return at, damaged("the log from %s to %s is missing", at, start)
		}
		at = max(at, start)
		if at, err = readEntry(ctx, o.segment, e, at, int64(at-start), int64(min(end, to)-at), buf, emit); err != nil {
			return at, fmt.Errorf("read log at %s: %w", at, err)
		}
	}
	if at < to {
		return at, damaged("the log from %s to %s is missing", at, to)
	}
	return at, nil
}

// readEntry emits n bytes of one entry, which lie in the log from at on, after skipping some.
func readEntry(ctx context.Context, s engine.LogSegment, e engine.LogEntry, at wal.LSN, skip, n int64, buf []byte, emit func(wal.LSN, []byte) error) (wal.LSN, error) {
	r, err := s.Read(ctx, e)
	if err != nil {
		return at, err
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, skip); err != nil {
		return at, err
	}
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return at, err
		}
		m, err := io.ReadFull(r, buf[:min(n, int64(len(buf)))])
		if err != nil {
			return at, err
		}
		if err := emit(at, buf[:m]); err != nil {
			return at, err
		}
		at, n = at+wal.LSN(m), n-int64(m)
	}
	return at, nil
}
