package recovery

import (
	"context"
	"errors"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
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
