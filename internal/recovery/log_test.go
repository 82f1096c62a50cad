package recovery

import (
	"context"
	"errors"
	"io"
	"iter"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
)

// brokenLog is a log none of whose segments can be opened.
type brokenLog []history.Segment

func (l brokenLog) Segments() []history.Segment { return l }

func (l brokenLog) Open(ctx context.Context, _ int) (engine.LogSegment, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, errors.New("it is gone")
}

// TestLogBlamesNothingThatWasGivenUp: segments that an engine opens ahead and gives up because it failed do not hide why.
func TestLogBlamesNothingThatWasGivenUp(t *testing.T) {
	segments := []history.Segment{{Name: "log/1/a"}, {Name: "log/1/b"}}
	log := joinLogs(segments, func(s []history.Segment) engine.Log { return brokenLog(s) }, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := log.Open(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Fatalf("opened with %v", err)
	}
	if s, err := log.failure(); err != nil {
		t.Errorf("%s is blamed: %v", s.Name, err)
	}
	if _, err := log.Open(t.Context(), 1); err == nil {
		t.Fatal("it was opened")
	}
	if s, err := log.failure(); err == nil || s.Name != "log/1/b" {
		t.Errorf("%q is blamed: %v", s.Name, err)
	}
}

// TestLogBlamesWhatWasLookedInto: what an engine refuses lies in the segment that it looked into last, not in one that it opened
// ahead.
func TestLogBlamesWhatWasLookedInto(t *testing.T) {
	w := newWorld()
	segments := w.history.Segments
	log := joinLogs(segments, w.origin("here").OpenLog, nil)
	if _, ok := log.last(); ok {
		t.Error("something is blamed before anything was opened")
	}
	var opened []engine.LogSegment
	for i := range segments {
		s, err := log.Open(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		opened = append(opened, s)
	}
	opened[3].Entries()
	if s, ok := log.last(); !ok || s.Name != segments[3].Name {
		t.Errorf("%q is blamed", s.Name)
	}
}

// flawedLog is a log of one segment that is damaged where half of it has been read, until it is healed.
type flawedLog struct {
	brokenLog
	healed bool
}

func (l *flawedLog) Open(context.Context, int) (engine.LogSegment, error) {
	return &flawedSegment{log: l}, nil
}

type flawedSegment struct{ log *flawedLog }

func (s *flawedSegment) Entries() []engine.LogEntry {
	return []engine.LogEntry{{File: "a", Size: 6}}
}

func (s *flawedSegment) Read(context.Context, engine.LogEntry) (io.ReadCloser, error) {
	return &flawedReader{log: s.log, rest: "commit"}, nil
}

func (s *flawedSegment) Marks(context.Context) iter.Seq2[history.Mark, error] {
	return func(yield func(history.Mark, error) bool) {
		for n := range uint64(6) {
			if n == 3 && !s.log.healed {
				yield(history.Mark{}, s.log.damage())
				return
			}
			if !yield(history.Mark{Position: history.At(1, n)}, nil) {
				return
			}
		}
	}
}

func (s *flawedSegment) Close() error { return nil }

func (l *flawedLog) damage() error {
	return &pack.CorruptError{Object: "shop/log/1/a", Detail: "digest"}
}

type flawedReader struct {
	log  *flawedLog
	rest string
}

func (r *flawedReader) Read(p []byte) (int, error) {
	if len(r.rest) == 3 && !r.log.healed {
		return 0, r.log.damage()
	}
	if r.rest == "" {
		return 0, io.EOF
	}
	n := copy(p[:1], r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// ReadAt gives what is good of the first half, and damage.
func (r *flawedReader) ReadAt(p []byte, off int64) (int, error) {
	if end := off + int64(len(p)); end <= 3 || r.log.healed {
		return copy(p, "commit"[off:]), nil
	}
	return copy(p, "com"[min(off, 3):]), r.log.damage()
}

func (r *flawedReader) Close() error { return nil }

// TestLogGoesOnWithAnotherCopy: damage that is met in the middle of a segment is read from elsewhere, from there on.
func TestLogGoesOnWithAnotherCopy(t *testing.T) {
	for _, what := range []string{"data", "pieces", "marks"} {
		t.Run(what, func(t *testing.T) {
			flawed := &flawedLog{brokenLog: brokenLog{{Name: "log/1/a"}}}
			log := joinLogs(flawed.Segments(), func([]history.Segment) engine.Log { return flawed }, nil)
			asked := 0
			log.elsewhere = func(context.Context, error) bool {
				asked++
				flawed.healed = asked > 1
				return flawed.healed
			}
			read := func() error {
				s, err := log.Open(t.Context(), 0)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if what == "marks" {
					return sixMarks(t, s)
				}
				r, err := s.Read(t.Context(), s.Entries()[0])
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				if what == "pieces" {
					b := make([]byte, 5)
					_, err := r.(io.ReaderAt).ReadAt(b, 1)
					if err == nil && string(b) != "ommit" {
						t.Errorf("read %q", b)
					}
					return err
				}
				b, err := io.ReadAll(r)
				if err == nil && string(b) != "commit" {
					t.Errorf("read %q", b)
				}
				return err
			}
			if err := read(); err == nil {
				t.Error("damage that no other copy heals was not told")
			}
			if err := read(); err != nil || asked != 2 {
				t.Errorf("asked %d times: %v", asked, err)
			}
		})
	}
}

func sixMarks(t *testing.T, s engine.LogSegment) error {
	t.Helper()
	n := uint64(0)
	for m, err := range s.Marks(t.Context()) {
		if err != nil {
			return err
		}
		if m.Position.Seq != n {
			t.Errorf("mark %d is at %s", n, m.Position)
		}
		n++
	}
	if n != 6 {
		t.Errorf("%d marks", n)
	}
	return nil
}
