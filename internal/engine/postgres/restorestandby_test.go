//go:build unix

package postgres

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

func testStandby(t *testing.T, w *world) {
	l := w.log(t, 400_000)
	marks := l.marks()
	at := marks[len(marks)-15].Position
	r, err := Engine{}.Place(engine.Placement{Standby: true})
	if err != nil {
		t.Fatal(err)
	}
	dir := w.lay(t)
	reached, err := r.Replay(t.Context(), dir, l, engine.Goal{Position: at})
	if err != nil {
		t.Fatal(err)
	}
	if !reached.Position.Equal(at) {
		t.Errorf("reached %s, want %s", reached.Position, at)
	}
	c, _, err := datadir.ReadControl(os.DirFS(dir))
	if err != nil || c.State != datadir.ShutDownInRecovery || c.Timeline != 1 {
		t.Errorf("%s on timeline %d, %v", c.State, c.Timeline, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "standby.signal")); err != nil {
		t.Error(err)
	}
	conn := w.plain(t, dir)
	requireRows(t, conn, w.at(l, wal.LSN(at.Seq)))
	var recovering bool
	if err := conn.QueryRow(t.Context(), "select pg_is_in_recovery()").Scan(&recovering); err != nil || !recovering {
		t.Errorf("in recovery: %v, %v", recovering, err)
	}
}

// TestReplayOverForks follows a promotion, and stands before, at and after the fork, on both timelines.
func TestReplayOverForks(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes a standby")
	}
	w := newWorld(t, pgtest.Options{})
	w.take(t, nil)
	w.commit(t, 20, 30_000)
	standby := w.cluster.Standby(t, "other")
	standby.CatchUp(t)
	at := w.cluster.LSN(t)
	before := w.n
	standby.Crash(t)
	w.commit(t, 20, 30_000) // which the standby does not get
	old := w.log(t, 500_000)
	w.cluster.Stop(t)
	if err := standby.TryStart(); err != nil {
		t.Fatal(err)
	}
	standby.Promote(t)
	fork, err := forkOf(standby.Dir, 2)
	if err != nil || fork.At < at {
		t.Fatalf("forked at %s, want %s or later: %v", fork.At, at, err)
	}
	other := &world{cluster: standby, size: w.size, rows: w.rows, n: 1000}
	other.commit(t, 20, 30_000)
	l := &memLog{}
	w.capture(t, l, w.cluster.Dir, 1, w.start.SegmentStart(w.size), fork.At+200_000, 500_000) // beyond the fork
	w.capture(t, l, standby.Dir, 2, fork.At, standby.LSN(t), 500_000)
	text, err := os.ReadFile(filepath.Join(standby.Dir, "pg_wal", wal.HistoryName(2)))
	if err != nil {
		t.Fatal(err)
	}
	missing := memLog{segments: l.segments, parts: slices.Clone(l.parts)}
	first := slices.IndexFunc(l.segments, func(s history.Segment) bool { return s.To.Timeline == 2 })
	l.parts[first].entries = append(l.parts[first].entries, engine.LogEntry{File: wal.HistoryName(2), Size: int64(len(text))})
	l.parts[first].data = append(l.parts[first].data, text)

	t.Run("after the fork", func(t *testing.T) {
		dir := w.lay(t)
		r, err := restorer{}.Replay(t.Context(), dir, l, engine.Goal{Taken: 5})
		if err != nil {
			t.Fatal(err)
		}
		if from, err := forkOf(dir, 6); err != nil || from.Timeline != 2 || from.At != wal.LSN(r.Position.Seq) {
			t.Errorf("forked from timeline %d at %s, want 2 at %s; it must not take the timelines up to 5 (%v)", from.Timeline, from.At, r.Position, err)
		}
		var count, highest int
		if err := w.plain(t, dir).QueryRow(t.Context(), "select count(*), max(n) from ledger").Scan(&count, &highest); err != nil {
			t.Fatal(err)
		}
		if count != before+20 || highest != 1020 {
			t.Errorf("%d rows up to %d, want %d up to 1020", count, highest, before+20)
		}
	})
	t.Run("before the fork", func(t *testing.T) {
		n := slices.IndexFunc(l.segments, func(s history.Segment) bool { return s.To.Seq >= uint64(fork.At) })
		parent := &memLog{segments: l.segments[:n+1], parts: l.parts[:n+1]}
		dir, _ := w.restored(t, parent, position(1, fork.At))
		requireRows(t, w.plain(t, dir), before)
	})
	t.Run("on the abandoned timeline", func(t *testing.T) {
		dir, _ := w.restored(t, old, old.segments[len(old.segments)-1].To)
		requireRows(t, w.plain(t, dir), w.n)
	})
	t.Run("without the history file", func(t *testing.T) {
		part := *missing.parts[first]
		part.entries, part.data = part.entries[:len(part.entries)-1], part.data[:len(part.data)-1]
		missing.parts = append(slices.Clone(missing.parts[:first]), &part)
		missing.parts = append(missing.parts, l.parts[first+1:]...)
		_, err := restorer{}.Replay(t.Context(), w.lay(t), &missing, engine.Goal{})
		if err == nil || !strings.Contains(err.Error(), "00000002.history") {
			t.Errorf("Replay: %v", err)
		}
	})
}
