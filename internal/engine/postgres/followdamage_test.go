package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// missed has the server write log that is not followed, and gives where it lies. The server then has it in files only.
func missed(t *testing.T, c *pgtest.Cluster) (from, to wal.LSN) {
	t.Helper()
	from = c.LSN(t)
	c.Exec(t, "drop table if exists missed", "create table missed as select repeat(md5(i::text), 20) x from generate_series(1, 200) i")
	to = c.LSN(t)
	c.Restart(t)
	return from, to
}

// spoil changes one byte of the server's log.
func spoil(t *testing.T, c *pgtest.Cluster, s *Source, at wal.LSN) {
	t.Helper()
	damage(t, segmentPath(c, s, at), int64(at-at.SegmentStart(s.segmentSize)))
}

func segmentPath(c *pgtest.Cluster, s *Source, at wal.LSN) string {
	return filepath.Join(c.Dir, "pg_wal", wal.SegmentName(1, at, s.segmentSize))
}

// followed is a source whose log was followed for a while.
func followed(t *testing.T, c *pgtest.Cluster) (*Source, *book) {
	t.Helper()
	s := connect(t, c)
	s.lookPause = 200 * time.Millisecond
	b := newBook(here(t, s))
	f := follow(t, s, b)
	c.Exec(t, "create table t (i int)")
	b.settled(t)
	f.stop()
	return s, b
}

func TestDamagedLogBecomesAGapOnce(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := withSmallFiles(t, 0, nil)
	s, b := followed(t, c)
	from, to := missed(t, c)
	spoil(t, c, s, from+(to-from)/2)
	var gap *history.GapError
	if err := follow(t, s, b).wait(); !errors.As(err, &gap) || !gap.From.Equal(b.at().Position) || !strings.Contains(gap.Reason, "damaged") {
		t.Fatalf("Follow of damaged log returned %v, want a gap at %s", err, b.at().Position)
	}
	if n := s.Counters().Again; n != contentLooks-1 {
		t.Errorf("it was asked for again %d times, want %d", n, contentLooks-1)
	}
	if at := wal.LSN(b.at().Position.Seq); at <= from || at >= to {
		t.Errorf("what was whole before the damage is not here: %s, of %s to %s", at, from, to)
	}
	// The log of the new base must not be asked for over the damage.
	sink := &folderSink{dir: pgtest.Folder(t)}
	r, err := s.TakeBase(t.Context(), engine.BaseOptions{After: b.at().Position, NewTimeline: true}, sink)
	if err != nil {
		t.Fatal(err)
	}
	if at := r.Bookmark.Position; !b.at().Position.Before(at) || r.Base.Start.Before(at) || at.Seq < uint64(to) {
		t.Fatalf("the log of the new base begins at %s, the gap at %s, the damage lies before %s", at, b.at().Position, to)
	}
	again := newBook(r.Bookmark)
	f := follow(t, s, again)
	c.Exec(t, "create table after_the_gap (i int)")
	again.settled(t)
	f.stop()
	again.holds(t, c)
}

func TestLogThatComesAgainIsNoGap(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := withSmallFiles(t, 0, nil)
	s, b := followed(t, c)
	s.lookPause = 2 * time.Second // in which the log is mended
	from, to := missed(t, c)
	at := from + (to-from)/2
	spoil(t, c, s, at)
	f := follow(t, s, b)
	enginetest.Until(t, 10*time.Second, "the log to be asked for again", func() bool { return s.Counters().Again == 1 })
	if st := s.Status(); st.LastError == nil || !strings.Contains(st.LastError.Error(), "damaged") {
		t.Errorf("status while it is asked for again: %+v", st)
	}
	spoil(t, c, s, at) // back
	b.settled(t)
	f.stop()
	b.holds(t, c)
	if st := s.Status(); st.LastError != nil {
		t.Errorf("status once it came: %+v", st)
	}

	from, _ = missed(t, c)
	path := segmentPath(c, s, from)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	err := follow(t, s, b).wait()
	if err == nil || errors.As(err, new(*history.GapError)) || !strings.Contains(hint(err), "pg_wal") {
		t.Errorf("Follow of log that the server may not read returned %v, hint %q", err, hint(err))
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f = follow(t, s, b)
	b.settled(t)
	f.stop()
	b.holds(t, c)
}

func TestShortAndEmptyLogBecomesAGap(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := withSmallFiles(t, 0, nil)
	s, b := followed(t, c)
	from, to := missed(t, c)
	c.Exec(t, "select pg_switch_wal()")
	path, cut := segmentPath(c, s, from), int64((from+(to-from)/2)%wal.LSN(s.segmentSize))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"short": cut, "empty from there on": int64(len(whole))} {
		if err := errors.Join(os.WriteFile(path, whole[:cut], 0o600), os.Truncate(path, size)); err != nil {
			t.Fatal(err)
		}
		var gap *history.GapError
		again := newBook(b.at())
		if err := follow(t, s, again).wait(); !errors.As(err, &gap) || !gap.From.Equal(again.at().Position) {
			t.Errorf("%s: Follow returned %v, want a gap at %s", name, err, again.at().Position)
		}
	}
}

func TestWhatIsCertainOfDamage(t *testing.T) {
	here, there := history.At(1, 100), history.At(1, 200)
	one, two := &unreadable{what: "one", looks: 3}, &unreadable{what: "two", looks: 3}
	type look struct {
		at   history.Position
		bad  *unreadable
		want string // "0": look again, it was never seen before; "certain", "error"
	}
	for name, looks := range map[string][]look{
		"stays the same":         {{here, one, "0"}, {here, one, "1"}, {here, one, "certain"}},
		"something else":         {{here, one, "0"}, {here, two, "error"}},
		"the log went on":        {{here, one, "0"}, {here, one, "1"}, {there, one, "0"}, {there, one, "1"}, {there, one, "certain"}},
		"two things, then again": {{here, one, "0"}, {there, two, "0"}, {here, one, "0"}},
	} {
		var s suspicion
		for i, l := range looks {
			before, certain, ok := s.certain(l.at, l.bad)
			got := strconv.Itoa(before)
			switch {
			case !ok:
				got = "error"
			case certain:
				got = "certain"
			}
			if got != l.want {
				t.Errorf("%s: look %d: %s, want %s", name, i, got, l.want)
			}
		}
	}
}

func TestABaseBehindAGapBeginsBehindIt(t *testing.T) {
	const size = 1 << 20
	at := func(n wal.LSN) history.Position { return position(1, n) }
	b := &takenBase{damage: &datadir.Damage{}, start: 3*size + 500, stop: 3*size + 900, startLine: 1, stopLine: 1}
	for _, c := range []struct {
		name string
		gap  history.Position
		new  bool
		want wal.LSN // 0 for an error
	}{
		{"the first base", history.Position{}, false, 3 * size},
		{"while the log is followed", at(3*size + 100), false, 3 * size},
		{"a gap in an older file", at(2*size + 100), true, 3 * size},
		{"a gap at the beginning of the file", at(3 * size), true, 3 * size},
		{"a gap in the file", at(3*size + 100), true, 3*size + 500},
		{"a gap behind the start", at(3*size + 600), true, 0},
		{"a server that was put back", at(9 * size), true, 3 * size},
		{"a gap on another timeline", position(2, 3*size+100), true, 3 * size},
	} {
		r, err := b.result("1", size, engine.BaseOptions{After: c.gap, NewTimeline: c.new})
		if (err != nil) != (c.want == 0) || wal.LSN(r.Bookmark.Position.Seq) != c.want {
			t.Errorf("%s: the log begins at %s, %v; want %s", c.name, wal.LSN(r.Bookmark.Position.Seq), err, c.want)
		}
	}
}
