package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/pack"
)

// cutter cuts the log in the spool into full segments and seals each once, for all repositories.
type cutter struct {
	a     *Archive
	next  span
	begun bool
}

// cutTick is how often the cutter looks for age.
const cutTick = time.Second

func (c *cutter) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		pause := cutTick
		if err := c.step(ctx); err != nil && ctx.Err() == nil {
			c.begun = false
			failures++
			pause = max(cutTick, c.a.c.delay(failures))
			if failures == 1 {
				c.a.emit(Event{Kind: CutFailed, Text: "cannot seal a full segment; trying again, tips are shipped meanwhile", Err: err})
			}
		} else {
			failures = 0
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-c.a.cutNow:
		}
		timer.Stop()
	}
}

// step cuts all segments that are due.
func (c *cutter) step(ctx context.Context) error {
	for ctx.Err() == nil {
		if !c.begun && !c.begin() {
			return nil
		}
		if err := c.next.extend(c.a.sp, c.a.c.SegmentBytes); err != nil {
			return err
		}
		s := &c.next
		old := s.bytes > 0 && c.a.c.Now().Sub(s.oldest) >= c.a.c.SegmentAge || c.a.isFull()
		if s.bytes > 0 && (old || s.bytes >= c.a.c.SegmentBytes || s.hole || s.brk != nil) {
			if err := c.seal(ctx); err != nil {
				return err
			}
		} else if s.brk == nil {
			return nil
		}
		c.advance()
	}
	return nil
}

// begin finds where the next segment begins. It needs a repository that was opened: none is sealed for before.
func (c *cutter) begin() bool {
	if !c.a.hasLine() || c.a.recipient() == nil {
		return false
	}
	at := c.a.shelf.end()
	if at.Position.IsZero() {
		at = c.a.newestSegmentEnd()
	}
	if st := c.a.sp.Stats(); at.Position.Before(st.First) || st.Last.Before(at.Position) {
		at = history.Moment{Position: st.First}
	}
	c.next, c.begun = spanAt(at), true
	return true
}

// advance goes on behind what was cut, over a break too.
func (c *cutter) advance() {
	brk := c.next.brk
	c.next = c.next.after()
	if brk != nil {
		c.next = lineAt(brk.Piece.To, brk.Piece.Until, brk.After)
	}
}

// seal makes a segment of the span and puts it on the shelf.
func (c *cutter) seal(ctx context.Context) error {
	s := c.next
	condensed, err := c.condense(ctx, s)
	if err != nil {
		return err
	}
	if condensed != nil {
		defer condensed.remove()
	}
	to := c.a.recipient()
	if to == nil {
		return errors.New("no repository has been opened")
	}
	seg, err := c.a.shelf.put(func(w io.Writer) (pack.Sealed, error) {
		buffered := bufio.NewWriterSize(w, 256<<10)
		r := &reading{sp: c.a.sp, s: s}
		sealed, err := pack.SealSegment(ctx, buffered, *to, pack.SegmentSpec{Segment: s.segment(), Entries: condensed.before(r.packed()), Marks: r.marks()})
		return sealed, errors.Join(err, r.err, buffered.Flush())
	})
	if err != nil {
		return err
	}
	killpoint.At(killpoint.SegmentSealed)
	c.a.emit(Event{Kind: SegmentCut, Text: fmt.Sprintf("cut segment %s to %s: %d commits, %d bytes, %d sealed", s.from, s.to, s.commits, seg.Segment.Bytes, seg.Size)})
	return nil
}

// condensedFile is one file that stands for all of a segment.
type condensedFile struct {
	name string
	path string
	size int64
}

func (f *condensedFile) remove() { os.Remove(f.path) }

// before puts f before the entries; nothing if it is nil.
func (f *condensedFile) before(entries iter.Seq[pack.SegmentEntry]) iter.Seq[pack.SegmentEntry] {
	if f == nil {
		return entries
	}
	return func(yield func(pack.SegmentEntry) bool) {
		first := pack.SegmentEntry{File: f.name, Size: f.size, Condensed: true, Open: func() (io.ReadCloser, error) { return os.Open(f.path) }}
		if yield(first) {
			entries(yield)
		}
	}
}

// condense asks the engine for the one file; nil if the engine has none or a log file is not complete.
func (c *cutter) condense(ctx context.Context, s span) (*condensedFile, error) {
	condenser, ok := c.a.c.Engine.(engine.Condenser)
	if !ok {
		return nil, nil
	}
	var files []engine.CondenseFile
	r := &reading{sp: c.a.sp, s: s}
	for f := range r.files() {
		if f.offset != 0 || !f.complete {
			return nil, nil
		}
		files = append(files, engine.CondenseFile{Name: f.name, Open: f.open})
	}
	if r.err != nil || len(files) < 2 {
		return nil, r.err
	}
	f, err := os.Create(filepath.Join(c.a.shelf.dir, "condensed.tmp"))
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewWriterSize(f, 256<<10)
	out := &condensedFile{path: f.Name()}
	out.name, err = condenser.Condense(ctx, files, buffered)
	err = errors.Join(err, buffered.Flush())
	if info, statErr := f.Stat(); statErr == nil {
		out.size = info.Size()
	}
	if err = errors.Join(err, f.Close()); err == nil && out.name != "" {
		return out, nil
	}
	out.remove()
	if err != nil && ctx.Err() == nil {
		// The log itself is what counts: a segment without the condensed file is slower to restore, not poorer.
		c.a.emit(Event{Kind: CutFailed, Text: "cannot condense a segment; it is sealed without", Err: err})
		err = nil
	}
	return nil, err
}
