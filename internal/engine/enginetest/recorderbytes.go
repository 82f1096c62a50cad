package enginetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// NewStreamRecorder is NewRecorder for a log that is a stream of bytes; see Harness.Bytes.
func NewStreamRecorder(b engine.Bookmark) *Recorder {
	r := NewRecorder(b)
	r.bytes = true
	return r
}

// byteMarks checks the marks of a piece of a stream of bytes: any number of them, at rising positions. Their times never
// go back, and the first comes after all that was said to be whole.
func (r *Recorder) byteMarks(p engine.Piece) error {
	last := history.Mark{Position: p.From, Time: p.Since}
	for i, m := range p.Marks {
		if !last.Position.Before(m.Position) || m.Time.Before(last.Time) || i == 0 && !m.Time.After(p.Since) {
			return fmt.Errorf("mark %s at %s does not come after %s at %s", m.Position, m.Time, last.Position, last.Time)
		}
		last = m
	}
	if p.To.Before(last.Position) || last.Time.After(p.Until) {
		return fmt.Errorf("last mark is %s at %s", last.Position, last.Time)
	}
	return nil
}

// byteData keeps a stretch of a stream of bytes. The stretches of a file follow each other from any offset on. Those that
// do not move belong to the next one that does, and nothing comes between.
func (r *Recorder) byteData(p engine.Piece) error {
	moves := !p.To.Equal(p.From)
	switch {
	case p.Fork != nil:
		return errors.New("forks, and the source went to no other timeline")
	case len(p.Data) == 0 && moves:
		return errors.New("moves without data")
	case len(p.Data) == 0 && r.part != nil:
		return errors.New("comes between the parts of a record")
	case len(p.Data) == 0:
		r.idle++
		return nil
	}
	if end, begun := r.ends[p.File]; begun && end != p.Offset {
		return fmt.Errorf("part of %s at %d does not follow %d", p.File, p.Offset, end)
	}
	r.ends[p.File] = p.Offset + int64(len(p.Data))
	if p.Complete {
		r.ends[p.File] = -1
	}
	f := r.part
	if f == nil {
		f = &logFile{from: p.From, since: p.Since}
	}
	f.parts = append(f.parts, logPart{name: p.File, offset: p.Offset, data: slices.Clone(p.Data)})
	if r.part = f; !moves {
		return nil
	}
	f.to, f.until, f.marks = p.To, p.Until, slices.Clone(p.Marks)
	r.part, r.files, r.arrived = nil, append(r.files, f), append(r.arrived, time.Now())
	return nil
}
