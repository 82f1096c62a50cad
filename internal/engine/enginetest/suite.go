package enginetest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"moments", testMoments},
		{"positions", testPositions},
		{"restart", testRestart},
		{"gap", testGap},
		{"crash", testCrash},
		{"ship fails", testShipFails},
		{"ship waits", testShipWaits},
		{"base while following", testBaseWhileFollowing},
		{"base fails", testBaseFails},
		{"idle", testIdle},
		{"damage", testDamage},
	} {
		if len(h.Only) > 0 && !slices.Contains(h.Only, c.name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if !h.Serial {
				t.Parallel()
			}
			c.run(t, h)
		})
	}
}

// rig is a source that is connected, with its base and recorder.
type rig struct {
	app  App
	src  engine.Source
	opts engine.Options
	sink *Sink
	rec  *Recorder
	base history.Base
}

func start(t *testing.T, h Harness) *rig {
	t.Helper()
	g := &rig{app: h.Start(t), opts: engine.Options{Name: "app", StateDir: t.TempDir()}}
	g.app.Commit(t)
	g.connect(t, h)
	g.sink, g.rec, g.base = base(t, h, g.src, engine.BaseOptions{})
	return g
}

func (g *rig) connect(t *testing.T, h Harness) {
	t.Helper()
	src, err := h.Engine.Connect(t.Context(), g.app.URL(), g.opts)
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	g.src = src
	t.Cleanup(func() { src.Close() })
}

func (g *rig) log(t *testing.T, h Harness, each int) *Log {
	t.Helper()
	c, _ := h.Engine.(engine.Condenser)
	l, err := g.rec.Log(t.Context(), each, c)
	if err != nil {
		t.Fatalf("Condense: %v", err)
	}
	return l
}

// latest asserts that a restore of everything stands at n.
func (g *rig) latest(t *testing.T, h Harness, n int) {
	t.Helper()
	if got, r := stands(t, h, g.app, g.sink, g.log(t, h, 16), engine.Goal{}); got != n {
		t.Fatalf("restored to %s: stands at change %d, want %d", r.Position, got, n)
	}
}

func testMoments(t *testing.T, h Harness) {
	g := start(t, h)
	starved := Canary(t)
	f := Follow(t, g.src, g.rec)
	var ledger []Entry
	for range 60 {
		ledger = append(ledger, g.app.Commit(t))
		time.Sleep(time.Duration(rand.IntN(int(min(h.Late, 200*time.Millisecond)) / 4)))
	}
	Settled(t, h, g.rec)
	f.Stop()
	late := h.Late + 2*starved()
	log := g.log(t, h, 16)
	for range h.times(12) {
		e := ledger[rand.IntN(len(ledger))]
		at := e.After.Add(time.Duration(rand.IntN(int(h.Late))))
		got, _ := stands(t, h, g.app, g.sink, log, engine.Goal{Time: at})
		least, most := bounds(ledger, at, late)
		if got < least || got > most {
			t.Errorf("restored to %s: stands at change %d, want %d to %d", at, got, least, most)
		}
	}
	g.latest(t, h, ledger[len(ledger)-1].N)
}

// bounds are the changes that a restore to at may stand at: all made late before it, none made after it.
func bounds(ledger []Entry, at time.Time, late time.Duration) (least, most int) {
	least, most = 1, 1
	for _, e := range ledger {
		if e.After.Before(at.Add(-late)) {
			least = e.N
		}
		if !e.Before.After(at) {
			most = e.N
		}
	}
	return least, most
}

func testPositions(t *testing.T, h Harness) {
	g := start(t, h)
	f := Follow(t, g.src, g.rec)
	last := 0
	for range 40 {
		last = g.app.Commit(t).N
		if !h.Each {
			time.Sleep(30 * time.Millisecond)
		}
	}
	Settled(t, h, g.rec)
	f.Stop()
	marks, _ := g.rec.Marks()
	if h.Each && len(marks) < 40 {
		t.Fatalf("%d positions for 40 commits", len(marks))
	}
	log := g.log(t, h, 7)
	before := 0
	for i, m := range marks {
		if m.Position.Before(g.base.Stop) || i < len(marks)-1 && rand.IntN(len(marks)) >= h.times(len(marks)) {
			continue
		}
		got, r := stands(t, h, g.app, g.sink, log, engine.Goal{Position: m.Position})
		if !r.Position.Equal(m.Position) || !r.Time.Equal(m.Time) {
			t.Fatalf("restored to %s: reached %s at %s, want %s", m.Position, r.Position, r.Time, m.Time)
		}
		if got < before || h.Each && h.Restores == 0 && got > before+1 && before > 0 {
			t.Errorf("position %s stands at change %d, the one before at %d", m.Position, got, before)
		}
		before = got
	}
	if before != last {
		t.Errorf("the last position stands at change %d, want %d", before, last)
	}
	if _, ok := h.Engine.(engine.Condenser); ok && len(marks) > 14 && log.Condensed.Load() == 0 {
		t.Error("no condensed file was read")
	}
}

func testRestart(t *testing.T, h Harness) {
	g := start(t, h)
	last := 0
	for round := range 4 {
		f := Follow(t, g.src, g.rec)
		for range 10 {
			last = g.app.Commit(t).N
		}
		if round%2 == 0 {
			Settled(t, h, g.rec)
		}
		f.Stop()
		if err := g.src.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		if round == 2 {
			last = g.app.Commit(t).N // missed, but still there
		}
		g.connect(t, h)
	}
	f := Follow(t, g.src, g.rec)
	Settled(t, h, g.rec)
	f.Stop()
	g.latest(t, h, last)
}

func testGap(t *testing.T, h Harness) {
	g := start(t, h)
	f := Follow(t, g.src, g.rec)
	g.app.Commit(t)
	Settled(t, h, g.rec)
	f.Stop()
	if err := g.src.Close(); err != nil {
		t.Fatal(err)
	}
	g.app.Break(t)
	g.connect(t, h)
	err := Follow(t, g.src, g.rec).Wait()
	var gap *history.GapError
	if !errors.As(err, &gap) || gap.Reason == "" || !gap.From.Equal(g.rec.Bookmark().Position) {
		t.Fatalf("Follow after the log was lost: %v, want a GapError from %s", err, g.rec.Bookmark().Position)
	}
	after := g.rec.Bookmark().Position
	g.sink, g.rec, g.base = base(t, h, g.src, engine.BaseOptions{After: after, NewTimeline: true})
	timeline := after.Timeline + 1
	if h.Bytes {
		timeline = after.Timeline
	}
	if g.base.Stop.Timeline != timeline || g.base.Stop.Seq <= after.Seq {
		t.Fatalf("the base after a gap at %s stands at %s", after, g.base.Stop)
	}
	f = Follow(t, g.src, g.rec)
	last := g.app.Commit(t).N
	Settled(t, h, g.rec)
	f.Stop()
	g.latest(t, h, last)
}

func testCrash(t *testing.T, h Harness) {
	g := start(t, h)
	f := Follow(t, g.src, g.rec)
	for range h.times(5) {
		for range 5 {
			g.app.Commit(t)
		}
		g.app.Crash(t)
		if h.Server {
			if err := f.Wait(); err == nil || errors.As(err, new(*history.GapError)) {
				t.Fatalf("Follow returned %v when the source crashed", err)
			}
			f = Follow(t, g.src, g.rec)
		}
	}
	last := g.app.Commit(t).N
	Settled(t, h, g.rec)
	f.Stop()
	g.latest(t, h, last)
}

func testShipFails(t *testing.T, h Harness) {
	g := start(t, h)
	broken := errors.New("disk full")
	for range 3 {
		f := Follow(t, g.src, g.rec)
		g.app.Commit(t)
		Settled(t, h, g.rec)
		g.rec.Fail(broken)
		g.app.Commit(t)
		if err := f.Wait(); !errors.Is(err, broken) {
			t.Fatalf("Follow returned %v, want the error of ship", err)
		}
		g.rec.Fail(nil)
	}
	f := Follow(t, g.src, g.rec)
	last := g.app.Commit(t).N
	Settled(t, h, g.rec)
	f.Stop()
	g.latest(t, h, last)
}

func testShipWaits(t *testing.T, h Harness) {
	g := start(t, h)
	f := Follow(t, g.src, g.rec)
	g.app.Commit(t)
	Settled(t, h, g.rec)
	release := g.rec.Hold()
	last := 0
	for range 20 {
		last = g.app.Commit(t).N // the application does not wait for us
	}
	before := g.rec.Bookmark().Position
	time.Sleep(200 * time.Millisecond)
	if now := g.rec.Bookmark().Position; !now.Equal(before) {
		t.Fatalf("the bookmark moved to %s while ship waited", now)
	}
	release()
	Settled(t, h, g.rec)
	f.Stop()
	g.latest(t, h, last)
}

func testIdle(t *testing.T, h Harness) {
	g := start(t, h)
	f := Follow(t, g.src, g.rec)
	last := g.app.Commit(t).N
	Settled(t, h, g.rec)
	commits, idle, calls := g.rec.Counts()
	time.Sleep(2500 * time.Millisecond)
	commits2, idle2, calls2 := g.rec.Counts()
	if commits2 != commits {
		t.Errorf("%d commits while nobody wrote", commits2-commits)
	}
	if n := idle2 - idle; n < 1 || n > 4 || calls2-calls > 4 {
		t.Errorf("%d idle pieces in %d calls within 2.5 s, want about two", n, calls2-calls)
	}
	if behind := time.Since(g.rec.Whole().Time); behind > 2*time.Second {
		t.Errorf("an idle source is known to be whole only until %s ago", behind)
	}
	f.Stop()
	if st := g.src.Status(); st.LastError != nil || st.Position.IsZero() {
		t.Errorf("status of a healthy source: %+v", st)
	}
	g.latest(t, h, last)
}

func testDamage(t *testing.T, h Harness) {
	g := start(t, h)
	f := Follow(t, g.src, g.rec)
	for range 20 {
		g.app.Commit(t)
	}
	Settled(t, h, g.rec)
	f.Stop()
	log, err := g.rec.Log(t.Context(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, whole := stands(t, h, g.app, g.sink, log, engine.Goal{})
	for i := range h.times(20) {
		seg := rand.IntN(len(log.segments))
		for log.segments[seg].From.Before(g.base.Stop) { // nobody needs it
			seg = rand.IntN(len(log.segments))
		}
		entry := rand.IntN(len(log.opened[seg].entries))
		size := int(log.opened[seg].entries[entry].Size)
		at := rand.IntN(size)
		log.Damage(seg, entry, at)
		dir := h.lay(t, g.sink)
		// Some bits mean nothing, of compressed data or between records; then what is restored must be the same.
		r, err := h.Engine.Replay(t.Context(), dir, log, engine.Goal{})
		if err == nil && (r.Digest != whole.Digest || standsAt(t, h, g.app, dir, r) != n) {
			t.Errorf("%d: a flipped bit at %d of %d in segment %d was not noticed: %+v", i, at, size, seg, r)
		}
		log.Damage(seg, entry, at)
	}
}
