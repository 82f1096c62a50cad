package enginetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// Harness brings an engine and the application that writes its source.
type Harness struct {
	Engine interface {
		engine.Protector
		engine.Restorer
	}
	Start  func(t *testing.T) App // a new source with an application that uses it
	Late   time.Duration          // commits are stamped at most so long after they returned
	Settle time.Duration          // and shipped within so long
	Each   bool                   // each commit is a position of its own
}

// App is an application, preferably in a process of its own. It fails the test itself when it cannot do what it is told.
type App interface {
	// URL names its source.
	URL() string
	// Commit makes the next change and returns its number, from 1 on, and the clock just before and just after the commit.
	Commit(t *testing.T) Entry
	// Stands asks restored data which change it stands at, and whether all changes up to it, and none after, are in it whole.
	Stands(t *testing.T, dir string, r engine.Reached) int
	// Crash kills the application in the middle of a change and starts it again.
	Crash(t *testing.T)
	// Break makes the log impossible to continue for who does not follow it now. Commits go on after it.
	Break(t *testing.T)
}

// Entry is one line of the ledger: commit N was made between Before and After.
type Entry struct {
	N             int
	Before, After time.Time
}

// Follower runs Follow in the background.
type Follower struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan error
}

// Follow starts following into r.
func Follow(t *testing.T, s engine.Source, r *Recorder) *Follower {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &Follower{t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { f.done <- s.Follow(ctx, r.Bookmark(), r.Ship) }()
	t.Cleanup(cancel)
	return f
}

// Stop cancels it; Follow must return the context's error soon.
func (f *Follower) Stop() {
	f.t.Helper()
	f.cancel()
	if err := f.Wait(); !errors.Is(err, context.Canceled) {
		f.t.Fatalf("Follow returned %v after it was cancelled, want context.Canceled", err)
	}
}

// Wait returns what Follow returned.
func (f *Follower) Wait() error {
	f.t.Helper()
	select {
	case err := <-f.done:
		return err
	case <-time.After(20 * time.Second):
		f.t.Fatal("Follow did not return within 20 s")
		return nil
	}
}

// Done holds what Follow returned, once it has.
func (f *Follower) Done() <-chan error { return f.done }

// Until waits for ok, at most for limit.
func Until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Settled waits until all that was committed up to now is in r.
func Settled(t *testing.T, h Harness, r *Recorder) {
	t.Helper()
	now := time.Now()
	Until(t, h.Settle+30*time.Second, "the log to be whole", func() bool { return r.Whole().Time.After(now) })
}

// Restore lays base and log and replays to the goal.
func Restore(t *testing.T, h Harness, base *Sink, log engine.Log, to engine.Goal) (string, engine.Reached) {
	t.Helper()
	dir := t.TempDir()
	if err := base.Lay(dir); err != nil {
		t.Fatal(err)
	}
	r, err := h.Engine.Replay(t.Context(), dir, log, to)
	if err != nil {
		t.Fatalf("Replay to %+v: %v", to, err)
	}
	if l, ok := h.Engine.(engine.Launcher); ok {
		verify(t, l, dir, r)
	}
	return dir, r
}

func verify(t *testing.T, l engine.Launcher, dir string, r engine.Reached) {
	t.Helper()
	s, err := l.Launch(t.Context(), dir, r)
	if err != nil {
		t.Fatalf("Launch: %v", err)
	}
	checks, err := s.Verify(t.Context())
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	if len(checks) == 0 {
		t.Fatal("Verify checked nothing")
	}
	for _, c := range checks {
		if !c.OK {
			t.Fatalf("Verify: %s: %s", c.Name, c.Detail)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatalf("Stop: %v", err)
	}
}

// base takes one and starts a recorder behind it.
func base(t *testing.T, s engine.Source, o engine.BaseOptions) (*Sink, *Recorder, history.Base) {
	t.Helper()
	sink := &Sink{}
	res, err := s.TakeBase(t.Context(), o, sink)
	if err != nil {
		t.Fatalf("TakeBase: %v", err)
	}
	if !res.Base.Stop.Equal(res.Bookmark.Position) || res.Base.Stop.Before(res.Base.Start) {
		t.Fatalf("TakeBase: base %s to %s, bookmark %s", res.Base.Start, res.Base.Stop, res.Bookmark.Position)
	}
	return sink, NewRecorder(res.Bookmark), res.Base
}
