package archive

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/spool"
)

// Local is what lies in the spool of this host, read beside the Archive that writes it or after that died. It stands as
// it was when it was opened.
type Local struct {
	sp    *spool.Spool
	lines []span // the unbroken stretches, oldest first
	forks []history.Fork
}

// OpenLocal opens Config.Dir of an Archive for reading and changes nothing there. It fails with fs.ErrNotExist if
// nothing was ever kept there, and with a *spool.CorruptError if it is damaged. What a repository says must be read
// afterwards: what it has by then may be gone here, and what it has not is here.
func OpenLocal(dir string) (*Local, error) {
	sp, err := spool.Peek(dir)
	if err != nil {
		return nil, err
	}
	l := &Local{sp: sp}
	at := spanAt(history.Moment{Position: sp.Stats().First})
	for {
		if err := at.extend(sp, 0); err != nil {
			_ = sp.Close() // nothing was written
			return nil, fmt.Errorf("read spool: %w", err)
		}
		if at.bytes > 0 {
			l.lines = append(l.lines, at)
		}
		switch {
		case at.brk != nil:
			if fork := at.brk.Piece.Fork; fork != nil {
				l.forks = append(l.forks, *fork)
			}
			at = lineAt(at.brk.Piece.To, at.brk.Piece.Until, at.brk.After)
		case at.hole:
			at = at.after()
		default:
			return l, nil
		}
	}
}

// Close closes the files. Logs from Beyond cannot be read any more then.
func (l *Local) Close() error { return l.sp.Close() }

// Whole says until when nothing was committed that is not here or in a repository.
func (l *Local) Whole() history.Moment {
	b := l.sp.Bookmark()
	return history.Moment{Position: b.Position, Time: b.Time}
}

// Forks lists where the lines of log here leave each other.
func (l *Local) Forks() []history.Fork { return l.forks }

// Beyond is the log that h lacks: what lies behind the newest log of h, and lines that h has nothing of.
func (l *Local) Beyond(h history.History) (engine.Log, error) {
	log := &localLog{sp: l.sp}
	for _, line := range l.lines {
		s := line
		for _, seg := range h.Segments {
			switch {
			case seg.To.Timeline != line.to.Timeline:
			case line.to.Before(seg.To) && seg.From.Before(line.to):
				s.from = line.to
			case s.from.Before(seg.To) && !line.to.Before(seg.To):
				s.from = seg.To
			}
		}
		if s.from.Equal(line.to) {
			continue
		}
		if !s.from.Equal(line.from) {
			s = spanAt(history.Moment{Position: s.from})
			if err := s.extendTo(l.sp, line.to, 0); err != nil {
				return nil, fmt.Errorf("read spool: %w", err)
			}
		}
		if s.bytes > 0 {
			log.spans = append(log.spans, s)
		}
	}
	return log, nil
}

// localLog is a log of spans of the spool.
type localLog struct {
	sp    *spool.Spool
	spans []span
}

// Segments implements engine.Log.
func (l *localLog) Segments() []history.Segment {
	all := make([]history.Segment, len(l.spans))
	for i := range l.spans {
		all[i] = l.spans[i].segment()
		all[i].Name = fmt.Sprintf("spool/%d/%020d-%020d", all[i].To.Timeline, all[i].From.Seq, all[i].To.Seq)
		all[i].Bytes = l.spans[i].bytes
	}
	return all
}

// Open implements engine.Log.
func (l *localLog) Open(_ context.Context, i int) (engine.LogSegment, error) {
	r := &reading{sp: l.sp, s: l.spans[i]}
	s := &localSegment{reading: r, files: map[string]map[int64]logFile{}}
	for f := range r.files() {
		if s.files[f.name] == nil {
			s.files[f.name] = map[int64]logFile{}
		}
		s.files[f.name][f.offset] = f
		s.entries = append(s.entries, engine.LogEntry{File: f.name, Offset: f.offset, Size: f.size})
	}
	return s, r.err
}

// localSegment is one span as a restore reads it.
type localSegment struct {
	*reading
	entries []engine.LogEntry
	files   map[string]map[int64]logFile // by name and offset
}

// Entries implements engine.LogSegment.
func (s *localSegment) Entries() []engine.LogEntry { return s.entries }

// Read implements engine.LogSegment.
func (s *localSegment) Read(_ context.Context, e engine.LogEntry) (io.ReadCloser, error) {
	f, ok := s.files[e.File][e.Offset]
	if !ok {
		return nil, fmt.Errorf("read spool: it holds no file %s at %d", e.File, e.Offset)
	}
	return f.open()
}

// Marks implements engine.LogSegment.
func (s *localSegment) Marks(context.Context) iter.Seq2[history.Mark, error] {
	return func(yield func(history.Mark, error) bool) {
		r := &reading{sp: s.sp, s: s.s}
		for m := range r.marks() {
			if !yield(m, nil) {
				return
			}
		}
		if r.err != nil {
			yield(history.Mark{}, r.err)
		}
	}
}

// Close implements engine.LogSegment.
func (s *localSegment) Close() error { return nil }
