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

	// Bytes says that the log is a stream of bytes: a piece is a stretch of a file that may have any number of commits in
	// it, a base needs the log up to its Stop, and a gap does not begin a timeline. Else each piece, or each file, is one
	// commit or a few, and a base stands by itself.
	Bytes bool

	// Server says that the application's crash is the source's too: Follow then returns an error and is called again.
	Server bool

	// Restores is about how often a test restores where it could do so for each position; zero means as often as it likes.
	Restores int

	// Dir makes an empty folder to restore to; nil means that of the test.
	Dir func(t *testing.T) string

	// Only names the tests of the suite to run; empty means all.
	Only []string

	// Serial runs the tests of the suite one after the other: sources share something.
	Serial bool
}

// times is n, or what the harness allows.
func (h Harness) times(n int) int {
	if h.Restores > 0 {
		return min(n, h.Restores)
	}
	return n
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

// Asker is an App that can ask a server which was launched on restored data what Stands finds out, so that no second
// one has to be started.
type Asker interface {
	App
	Asks(t *testing.T, dsn string) int
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

// Restore lays base and log, replays to the goal, and has a server that is launched on it verify it.
func Restore(t *testing.T, h Harness, base *Sink, log engine.Log, to engine.Goal) (string, engine.Reached) {
	t.Helper()
	dir, r := replay(t, h, base, log, to)
	launch(t, h, dir, r, nil)
	return dir, r
}

// stands restores and gives the change that the data stands at.
func stands(t *testing.T, h Harness, app App, base *Sink, log engine.Log, to engine.Goal) (int, engine.Reached) {
	t.Helper()
	dir, r := replay(t, h, base, log, to)
	return standsAt(t, h, app, dir, r), r
}

// standsAt asks restored data.
func standsAt(t *testing.T, h Harness, app App, dir string, r engine.Reached) (n int) {
	t.Helper()
	asker, ok := app.(Asker)
	launched := launch(t, h, dir, r, func(dsn string) {
		if ok {
			n = asker.Asks(t, dsn)
		}
	})
	if ok && launched {
		return n
	}
	return app.Stands(t, dir, r)
}

func replay(t *testing.T, h Harness, base *Sink, log engine.Log, to engine.Goal) (string, engine.Reached) {
	t.Helper()
	dir := h.lay(t, base)
	r, err := h.Engine.Replay(t.Context(), dir, log, to)
	if err != nil {
		t.Fatalf("Replay to %+v: %v", to, err)
	}
	return dir, r
}

func (h Harness) lay(t *testing.T, base *Sink) string {
	t.Helper()
	newDir := (*testing.T).TempDir
	if h.Dir != nil {
		newDir = h.Dir
	}
	dir := newDir(t)
	if err := base.Lay(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// launch has the engine verify restored data, if it can launch a server on it, and asks that server.
func launch(t *testing.T, h Harness, dir string, r engine.Reached, ask func(dsn string)) bool {
	t.Helper()
	l, ok := h.Engine.(engine.Launcher)
	if !ok {
		return false
	}
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
	if ask != nil {
		ask(s.DSN())
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatalf("Stop: %v", err)
	}
	return true
}

// base takes one and starts a recorder behind it.
func base(t *testing.T, h Harness, s engine.Source, o engine.BaseOptions) (*Sink, *Recorder, history.Base) {
	t.Helper()
	sink := &Sink{}
	res, err := s.TakeBase(t.Context(), o, sink)
	if err != nil {
		t.Fatalf("TakeBase: %v", err)
	}
	b, from := res.Base, res.Bookmark.Position
	if b.Stop.Before(b.Start) || h.Bytes && b.Start.Before(from) || !h.Bytes && !b.Stop.Equal(from) {
		t.Fatalf("TakeBase: base %s to %s, bookmark %s", b.Start, b.Stop, from)
	}
	r := NewRecorder(res.Bookmark)
	r.bytes = h.Bytes
	return sink, r, b
}
