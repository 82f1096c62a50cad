package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// world is a database with a log: the nth commit appends one line. It outlives daemons.
type world struct {
	mu       sync.Mutex
	lines    []string
	times    []time.Time
	trimmed  int  // the log up to here is gone
	strict   bool // a bookmark without token cannot be followed
	down     error
	refused  int // bases to be refused
	bases    int
	slowBase time.Duration
	slowJoin time.Duration // how long it takes to find out whether the log can be continued
	parts    int           // in how many pieces a commit is shipped; zero and one mean whole
	damage   []string      // what is found damaged by each base
	spread   int           // commits that happen while a base is copied: Start is before Stop
	connects int
	acked    int // the newest commit that was acknowledged
	forks    []history.Fork
	slot     bool // what was not acknowledged is kept, and counted
	blind    bool // whether there is a slot cannot be seen: it is always said to stay
	dropped  int  // slots
	open     int  // sessions that used the slot when it was dropped
	used     int  // calls of Follow and TakeBase that are under way
	advice   string
	failBase bool // when it is copied
	lasts    bool // bases have connections of their own
	system   string
	moved    signal
}

func (w *world) commit(n int, size int) {
	w.mu.Lock()
	for range n {
		i := len(w.lines) + 1
		w.lines = append(w.lines, fmt.Sprintf("%d:%s\n", i, strings.Repeat(string(rune('a'+i%26)), size)))
		w.times = append(w.times, time.Now())
	}
	w.mu.Unlock()
	w.moved.wake()
}

func (w *world) state(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.lines[:n], "")
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.lines)
}

func (w *world) trim() {
	w.mu.Lock()
	w.trimmed = len(w.lines)
	w.mu.Unlock()
}

// fork makes the world go on on another timeline, from the nth commit; what followed it happens again there.
func (w *world) fork(n int) {
	w.mu.Lock()
	parent := uint32(len(w.forks) + 1)
	w.forks = append(w.forks, history.Fork{Child: parent + 1, At: history.At(parent, uint64(n))})
	w.mu.Unlock()
	w.moved.wake()
}

// leaves is where the world left a timeline, nil if it did not.
func (w *world) leaves(timeline uint32) *history.Fork {
	if int(timeline) > len(w.forks) {
		return nil
	}
	fork := w.forks[timeline-1]
	return &fork
}

func (w *world) set(change func()) {
	w.mu.Lock()
	change()
	w.mu.Unlock()
	w.moved.wake()
}

// use counts who uses the slot, until it is told that it ended.
func (w *world) use() (ended func()) {
	w.set(func() { w.used++ })
	return func() { w.set(func() { w.used-- }) }
}

func (w *world) connect(context.Context) (engine.Source, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.connects++
	if w.down != nil {
		return nil, w.down
	}
	if w.lasts {
		return lasting{&source{w: w}}, nil
	}
	return &source{w: w}, nil
}

// lasting is a source whose bases outlive its session.
type lasting struct{ *source }

func (lasting) Lasts() {}

// source is the world as a connection sees it.
type source struct {
	w      *world
	mu     sync.Mutex
	closed bool
	line   uint32
}

func (s *source) Identify(context.Context) (engine.Identity, error) {
	return engine.Identity{SystemID: "w" + s.w.system, Mode: "lines"}, nil
}

// Advise says what was set last.
func (s *source) Advise(context.Context) ([]engine.Advice, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return []engine.Advice{{Text: s.w.advice}}, nil
}

func (s *source) TakeBase(ctx context.Context, o engine.BaseOptions, sink engine.BaseSink) (engine.BaseResult, error) {
	defer s.w.use()()
	s.w.mu.Lock()
	start, slow, spread := len(s.w.lines), s.w.slowBase, s.w.spread
	if s.w.refused > 0 {
		s.w.refused--
		s.w.mu.Unlock()
		return engine.BaseResult{}, errors.New("the source refuses a base")
	}
	s.w.bases++
	began := time.Now()
	data := strings.Join(s.w.lines, "")
	lasts := s.w.lasts
	s.w.mu.Unlock()
	line := max(o.After.Timeline, 1)
	if o.NewTimeline {
		line = o.After.Timeline + 1
	}
	from := history.At(line, uint64(start))
	mark := engine.Bookmark{Position: from, Time: began, Token: token(from)}
	if lasts && o.Begun != nil {
		if err := o.Begun(engine.Begun{Bookmark: mark, Stands: from}); err != nil {
			return engine.BaseResult{}, err
		}
	}
	if err := sink.Put(ctx, engine.File{Name: "lines", Mode: fs.FileMode(0o600), Size: int64(len(data))}, strings.NewReader(data)); err != nil {
		return engine.BaseResult{}, err
	}
	select {
	case <-ctx.Done():
		return engine.BaseResult{}, ctx.Err()
	case <-time.After(slow):
	}
	s.w.mu.Lock()
	fails := s.w.failBase
	s.w.mu.Unlock()
	if fails {
		return engine.BaseResult{}, errors.New("the copy failed")
	}
	if s.isClosed() {
		return engine.BaseResult{}, errors.New("the source was closed")
	}
	if spread > 0 {
		s.w.commit(spread, 10)
	}
	s.mu.Lock()
	s.line = line
	s.mu.Unlock()
	now := time.Now()
	to := history.At(line, uint64(start+spread))
	if lasts {
		to = history.At(line, uint64(s.w.count())) // it is followed meanwhile
	}
	return engine.BaseResult{Base: history.Base{SystemID: "w", Start: from, Stop: to, StartTime: began, StopTime: now, DamagedPages: int64(len(s.w.damage))},
		Bookmark: mark, Damage: s.w.damage}, nil
}

// historyName is the file that is told where a timeline begins.
func historyName(timeline uint32) string { return fmt.Sprintf("%08d.history", timeline) }

func token(p history.Position) []byte { return []byte("at " + p.String()) }

// Follow ships a piece for each commit, at most five at a time, and pieces without data when nothing happens.
func (s *source) Follow(ctx context.Context, from engine.Bookmark, ship engine.Ship) error {
	defer s.w.use()()
	at, since := from.Position, from.Time
	s.w.mu.Lock()
	strict, trimmed, slow := s.w.strict, s.w.trimmed, s.w.slowJoin
	s.w.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(slow):
	}
	if strict && len(from.Token) == 0 || int(at.Seq) < trimmed {
		return &history.GapError{From: at, Reason: "the log was trimmed"}
	}
	for {
		moved := s.w.moved.wait()
		s.w.mu.Lock()
		down := s.w.down
		if fork := s.w.leaves(at.Timeline); fork != nil {
			since = s.w.times[fork.At.Seq-1]
			s.w.mu.Unlock()
			at = history.At(fork.Child, fork.At.Seq)
			if err := ship(ctx, []engine.Piece{{From: at, To: at, Since: since, Until: since, File: historyName(fork.Child), Complete: true, Data: []byte("left\n"), Token: token(at), Fork: fork}}); err != nil {
				return err
			}
			continue
		}
		var pieces []engine.Piece
		now := time.Now()
		for n := int(at.Seq); n < len(s.w.lines) && len(pieces) < 5; n++ {
			next := history.At(at.Timeline, uint64(n+1))
			line := s.w.lines[n]
			offset := 0
			for i := 1; i < s.w.parts; i++ {
				size := len(line) / s.w.parts
				pieces = append(pieces, engine.Piece{From: at, To: at, Since: since, Until: since, File: fmt.Sprintf("%08d.line", n+1),
					Offset: int64(offset), Data: []byte(line[offset : offset+size]), Token: token(at)})
				offset += size
				if err := s.part(ctx, pieces, ship); err != nil {
					s.w.mu.Unlock()
					return err
				}
				pieces = nil
			}
			pieces = append(pieces, engine.Piece{From: at, To: next, Since: since, Until: s.w.times[n], File: fmt.Sprintf("%08d.line", n+1),
				Offset: int64(offset), Complete: true, Data: []byte(line[offset:]), Marks: []history.Mark{{Position: next, Time: s.w.times[n]}}, Token: token(next)})
			at, since = next, s.w.times[n]
		}
		if len(pieces) == 0 {
			pieces = []engine.Piece{{From: at, To: at, Since: since, Until: now, Token: token(at)}}
			since = now
		}
		more := int(at.Seq) < len(s.w.lines)
		s.w.mu.Unlock()
		if down != nil {
			return down
		}
		if err := ship(ctx, pieces); err != nil {
			return err
		}
		s.w.mu.Lock()
		s.w.acked = int(at.Seq)
		s.w.mu.Unlock()
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// part ships what there is in the middle of a commit, and takes its time.
func (s *source) part(ctx context.Context, pieces []engine.Piece, ship engine.Ship) error {
	s.w.mu.Unlock()
	defer s.w.mu.Lock()
	if err := ship(ctx, pieces); err != nil {
		return err
	}
	time.Sleep(70 * time.Millisecond)
	return ctx.Err()
}

func (s *source) Status() (st engine.Status) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, line := range s.w.lines[min(s.w.acked, len(s.w.lines)):] {
		if s.w.slot || s.w.blind {
			st.HeldBytes += int64(len(line))
		}
	}
	return st
}

func (s *source) Remains() string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if !s.w.slot && !s.w.blind {
		return ""
	}
	return "a slot"
}

// Remove drops the slot: the log that it kept is gone.
func (s *source) Remove(context.Context) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.slot, s.w.trimmed, s.w.open = false, len(s.w.lines), s.w.open+s.w.used
	s.w.dropped++
	return nil
}

func (s *source) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("closed twice")
	}
	s.closed = true
	return nil
}

// lineEngine condenses by putting all lines into one file.
type lineEngine struct{}

func (lineEngine) Kind() string { return "lines" }

func (lineEngine) Condense(_ context.Context, files []engine.CondenseFile, w io.Writer) (string, error) {
	for _, f := range files {
		r, err := f.Open()
		if err != nil {
			return "", err
		}
		if _, err := io.Copy(w, r); err != nil {
			return "", err
		}
		r.Close()
	}
	return "all.lines", nil
}
