package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// Recorder keeps a log in memory and checks every piece that is shipped to it. It stands for spool and repository: it
// survives the source.
type Recorder struct {
	mu       sync.Mutex
	bookmark engine.Bookmark
	files    []*logFile
	open     map[string]*logFile // begun and not complete
	bytes    bool                // the log is a stream of bytes
	part     *logFile            // of such a log: parts that did not move yet
	ends     map[string]int64    // and where its files end; -1 once they are complete
	arrived  []time.Time         // when each commit was shipped, as files
	idle     int
	calls    int
	fail     error
	gate     chan struct{} // non-nil: Ship waits until it is closed
	whole    history.Moment
	holes    []hole // moments in which nobody watched
	begin    time.Time
}

// hole lies between what was known before a restart and what is known after it.
type hole struct{ since, until time.Time }

// logFile is what nobody cuts: a complete file, or of a stream of bytes the stretch up to where a record ends.
type logFile struct {
	from, to     history.Position
	since, until time.Time
	parts        []logPart
	marks        []history.Mark
}

// logPart is a stretch of one file.
type logPart struct {
	name   string
	offset int64
	data   []byte
}

// NewRecorder continues from the bookmark of a base.
func NewRecorder(b engine.Bookmark) *Recorder {
	return &Recorder{bookmark: b, begin: b.Time, open: map[string]*logFile{}, ends: map[string]int64{}, whole: history.Moment{Position: b.Position, Time: b.Time}}
}

// Bookmark is where Follow goes on.
func (r *Recorder) Bookmark() engine.Bookmark {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bookmark
}

// Fail makes the next calls of Ship return err; nil makes them succeed again.
func (r *Recorder) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

// Hold makes Ship wait until release is called.
func (r *Recorder) Hold() (release func()) {
	gate := make(chan struct{})
	r.mu.Lock()
	r.gate = gate
	r.mu.Unlock()
	return func() {
		r.mu.Lock()
		r.gate = nil
		r.mu.Unlock()
		close(gate)
	}
}

// Whole is the newest statement of completeness.
func (r *Recorder) Whole() history.Moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.whole
}

// Counts tells how many commits, idle pieces and calls there were.
func (r *Recorder) Counts() (commits, idle, calls int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	commits = len(r.files)
	if r.bytes {
		commits = 0
		for _, f := range r.files {
			commits += len(f.marks)
		}
	}
	return commits, r.idle, r.calls
}

// Marks returns all commits and when each was shipped.
func (r *Recorder) Marks() (marks []history.Mark, arrived []time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range r.files {
		marks = append(marks, f.marks...)
		for range f.marks {
			arrived = append(arrived, r.arrived[i])
		}
	}
	return marks, arrived
}

// Ship is an engine.Ship. It breaks off with an error that names the rule a piece broke.
func (r *Recorder) Ship(ctx context.Context, pieces []engine.Piece) error {
	r.mu.Lock()
	gate := r.gate
	r.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.fail != nil {
		return r.fail
	}
	if len(pieces) == 0 {
		return errors.New("ship: no pieces")
	}
	for _, p := range pieces {
		if err := r.take(p); err != nil {
			return fmt.Errorf("ship %s to %s: %w", p.From, p.To, err)
		}
	}
	return nil
}

func (r *Recorder) take(p engine.Piece) error {
	switch {
	case !p.From.Equal(r.bookmark.Position):
		return fmt.Errorf("begins at %s, the piece before ended at %s", p.From, r.bookmark.Position)
	case p.To.Before(p.From):
		return errors.New("goes backwards")
	case p.Until.Before(p.Since):
		return fmt.Errorf("until %s is before since %s", p.Until, p.Since)
	case p.Since.Before(r.whole.Time):
		return fmt.Errorf("since %s is before the until of the piece before, %s", p.Since, r.whole.Time)
	case len(p.Token) == 0:
		return errors.New("has no token")
	}
	if p.Since.After(r.whole.Time) {
		r.holes = append(r.holes, hole{r.whole.Time, p.Since})
	}
	marks, data := r.marks, r.data
	if r.bytes {
		marks, data = r.byteMarks, r.byteData
	}
	if err := marks(p); err != nil {
		return err
	}
	if err := data(p); err != nil {
		return err
	}
	r.bookmark = engine.Bookmark{Position: p.To, Token: slices.Clone(p.Token), Time: p.Until}
	r.whole = history.Moment{Position: p.To, Time: p.Until}
	return nil
}

func (r *Recorder) marks(p engine.Piece) error {
	last := history.Mark{Position: p.From, Time: p.Since}
	for _, m := range p.Marks {
		if m.Position.Before(last.Position) || m.Position.Equal(last.Position) || !m.Time.After(last.Time) {
			return fmt.Errorf("mark %s at %s does not come after %s at %s", m.Position, m.Time, last.Position, last.Time)
		}
		last = m
	}
	if len(p.Marks) > 0 && (!last.Position.Equal(p.To) || last.Time.After(p.Until)) {
		return fmt.Errorf("last mark is %s at %s", last.Position, last.Time)
	}
	if len(p.Marks) == 0 && !p.To.Equal(p.From) && p.Complete {
		return errors.New("moves without a mark")
	}
	return nil
}

func (r *Recorder) data(p engine.Piece) error {
	if len(p.Data) == 0 && !p.Complete {
		if !p.To.Equal(p.From) {
			return errors.New("moves without data")
		}
		r.idle++
		return nil
	}
	f := r.open[p.File]
	if p.Offset == 0 {
		f = &logFile{from: p.From, since: p.Since, parts: []logPart{{name: p.File}}} // begun anew after a restart
		r.open[p.File] = f
	}
	if f == nil || p.Offset != int64(len(f.parts[0].data)) {
		return fmt.Errorf("part of %s at %d does not follow", p.File, p.Offset)
	}
	f.parts[0].data = append(f.parts[0].data, p.Data...)
	f.marks = append(f.marks, p.Marks...)
	f.to, f.until = p.To, p.Until
	if !p.Complete {
		return nil
	}
	delete(r.open, p.File)
	if slices.ContainsFunc(r.files, func(g *logFile) bool { return g.parts[0].name == p.File && g.from.Timeline == p.From.Timeline }) {
		return fmt.Errorf("%s was shipped before", p.File)
	}
	r.files = append(r.files, f)
	r.arrived = append(r.arrived, time.Now())
	return nil
}

// Begin is the moment of the base.
func (r *Recorder) Begin() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begin
}

// Holes tells how often nobody watched for a while.
func (r *Recorder) Holes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.holes)
}

// InHole reports whether nobody watched at some moment between from and to.
func (r *Recorder) InHole(from, to time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.holes, func(h hole) bool { return h.since.Before(to) && h.until.After(from) })
}
