package postgres

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// holdsTimeline sees that the book has the second timeline whole: its history, and its first file from the beginning.
func (b *book) holdsTimeline(t *testing.T, c *pgtest.Cluster, fork wal.LSN) {
	t.Helper()
	if len(b.forks) != 1 || b.forks[0].Child != 2 || wal.LSN(b.forks[0].At.Seq) != fork || b.forks[0].At.Timeline != 1 {
		t.Fatalf("forks %+v, want one at %s", b.forks, fork)
	}
	own, err := os.ReadFile(filepath.Join(c.Dir, "pg_wal", "00000002.history"))
	if h := b.files["00000002.history"]; err != nil || h == nil || !bytes.Equal(h.data, own) {
		t.Errorf("the history file is not here as the server has it (%v)", err)
	}
	first := b.files[wal.SegmentName(2, fork, 1<<20)]
	if first == nil || first.offset != 0 || len(first.data) <= int(fork%(1<<20)) {
		t.Errorf("the first file of timeline 2 is not here from its beginning")
	}
	if b.at().Position.Timeline != 2 {
		t.Errorf("the book ends at %s", b.at().Position)
	}
}

// leftAt reads where the server's timeline 2 began.
func leftAt(t *testing.T, c *pgtest.Cluster) wal.LSN {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.Dir, "pg_wal", "00000002.history"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := wal.ParseHistory(2, raw)
	if err != nil {
		t.Fatal(err)
	}
	return h.Switches[0].At
}

func TestAPromotedStandbyIsFollowed(t *testing.T) {
	takesLong(t)
	t.Parallel()
	one := withSmallFiles(t, 0, nil)
	l := pgtest.NewLedger(t, one, 2)
	two := one.Standby(t, "two")
	s := connect(t, two)
	b := newBook(here(t, s))
	f := follow(t, s, b)
	stop := l.Run(5 * time.Millisecond)
	committed(t, l, 40)
	stop()
	two.CatchUp(t)
	one.Crash(t)
	two.Promote(t)
	l.Move(two)
	for range 10 {
		l.Commit(t)
	}
	l.Settle(t)
	b.settled(t)
	f.stop()
	b.holdsTimeline(t, two, leftAt(t, two))
	b.holds(t, two)
	b.knows(t, l)
	if n := s.Counters(); n.Forks != 1 || n.Connected != 2 {
		t.Errorf("counters: %+v", n)
	}
	// Anyone may go on from any place on the way.
	for _, from := range b.bookmarks {
		again := newBook(from)
		f := follow(t, s, again)
		enginetest.Until(t, 10*time.Second, "the log to be shipped again from "+from.Position.String(), func() bool {
			select {
			case err := <-f.done:
				t.Fatalf("Follow from %s returned %v", from.Position, err)
			default:
			}
			return !again.at().Position.Before(b.at().Position)
		})
		f.stop()
	}
}

func TestAForkBehindUsIsEntered(t *testing.T) {
	takesLong(t)
	t.Parallel()
	one := withSmallFiles(t, 0, nil)
	l := pgtest.NewLedger(t, one, 1)
	two := one.Standby(t, "two")
	s := connect(t, one)
	b := newBook(here(t, s))
	f := follow(t, s, b)
	l.Commit(t)
	two.CatchUp(t)
	two.Stop(t)
	left := l.Commit(t) // the standby never gets it
	b.settled(t)
	f.stop()
	one.Crash(t)
	two.Start(t)
	two.Promote(t)
	two.Exec(t, "create table after_the_fork (i int)")
	moved := connect(t, two)
	before := b.at().Position
	f = follow(t, moved, b)
	b.settled(t)
	f.stop()
	fork := leftAt(t, two)
	if uint64(fork) >= before.Seq {
		t.Fatalf("the fork at %s does not lie behind %s", fork, before)
	}
	b.holdsTimeline(t, two, fork)
	if m := b.mark(left.XID); len(m) == 0 || m[0].Position.Timeline != 1 { // the new timeline may use the number again
		t.Errorf("what was left behind has the marks %v", m)
	}
	delete(b.files, wal.SegmentName(1, fork, 1<<20)) // goes on behind the fork, where the new server has nothing
	b.holds(t, two)
	// The old server comes back as it was.
	one.Start(t)
	var gap *history.GapError
	if err := follow(t, connect(t, one), b).wait(); !errors.As(err, &gap) {
		t.Errorf("Follow of the server that was left behind returned %v, want a gap", err)
	}
}

func TestABaseOnALaterTimelineBringsItsHistory(t *testing.T) {
	takesLong(t)
	t.Parallel()
	one := withSmallFiles(t, 0, nil)
	two := one.Standby(t, "two")
	two.CatchUp(t)
	one.Crash(t)
	two.Promote(t)
	s := connect(t, two)
	b := newBook(here(t, s))
	f := follow(t, s, b)
	two.Exec(t, "create table t (i int)")
	b.settled(t)
	f.stop()
	if b.files["00000002.history"] == nil || len(b.forks) != 0 {
		t.Errorf("files %v, forks %v", len(b.files), b.forks)
	}
	b.holds(t, two)
}

func TestRoute(t *testing.T) {
	way := wal.History{Timeline: 5, Switches: []wal.Switch{{Timeline: 1, At: 100}, {Timeline: 2, At: 200}, {Timeline: 4, At: 300}}}
	for _, c := range []struct {
		name     string
		timeline uint32
		at       wal.LSN
		standby  bool
		want     string
	}{
		{"on its timeline", 5, 400, false, "stay"},
		{"at its end", 5, 500, false, "stay"},
		{"behind its end", 5, 501, false, "lost"},
		{"behind a standby's end", 5, 501, true, "wait"},
		{"before a fork", 2, 150, false, "stay"},
		{"at a fork", 2, 200, false, "fork 4 at 2/200"},
		{"behind a fork", 1, 250, false, "fork 2 at 1/100"},
		{"behind the last fork", 4, 350, false, "fork 5 at 4/300"},
		{"on a timeline beside", 3, 150, false, "lost"},
		{"on a later timeline", 6, 150, false, "lost"},
	} {
		r := routeFrom(history.At(c.timeline, uint64(c.at)), way, 500, c.standby)
		got := "stay"
		switch {
		case r.lost != "":
			got = "lost"
		case r.wait:
			got = "wait"
		case r.fork != nil:
			at := r.fork.At
			at.Mark = ""
			got = "fork " + string(rune('0'+r.fork.Child)) + " at " + at.String()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestStampsNeverGoBack(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	f := &follower{until: noon}
	sec := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }
	marks := func(times ...time.Time) (list []history.Mark) {
		for i, at := range times {
			list = append(list, history.Mark{Position: history.At(1, uint64(i+1)), Time: at})
		}
		return list
	}
	got := f.stamp(marks(sec(1), sec(3), sec(2), sec(3), sec(4)))
	for i, want := range []time.Time{sec(1), sec(3), sec(3), sec(3), sec(4)} {
		if !got[i].Time.Equal(want) {
			t.Errorf("mark %d is at %s, want %s", i, got[i].Time, want)
		}
	}
	// Four is known to be whole: what comes with that stamp was not answered by then.
	if got := f.stamp(marks(sec(4), sec(0))); !got[0].Time.Equal(sec(4).Add(1)) || !got[1].Time.Equal(sec(4).Add(1)) || !f.until.Equal(sec(4).Add(1)) {
		t.Errorf("marks %v, until %s", got, f.until)
	}
}

func TestBookmarkTokens(t *testing.T) {
	const size = 1 << 20
	at := history.At(1, 3*size+500)
	for _, c := range []struct {
		name       string
		token      token
		at         uint64
		from, prev wal.LSN
	}{
		{"nothing known", token{}, at.Seq, 3*size + 500, 0},
		{"last record in the file", token{Last: 3*size + 400}, at.Seq, 3*size + 400, 0},
		{"last record in the file before", token{Last: 3*size - 100}, at.Seq, 3*size + 500, 3*size - 100},
		{"at the beginning of a file", token{Last: 3*size - 100}, 3 * size, 3 * size, 3*size - 100},
		{"parts were shipped", token{Last: 3*size + 400, Next: 4 * size}, at.Seq, 3*size + 400, 0},
		{"behind a fork", token{Next: 3 * size}, at.Seq, 3 * size, 0},
	} {
		m, err := readBookmark(engine.Bookmark{Position: history.At(1, c.at), Token: c.token.encode()})
		if err != nil {
			t.Fatal(err)
		}
		if from, prev := m.origin(size); from != c.from || prev != c.prev {
			t.Errorf("%s: from %s behind %s, want %s behind %s", c.name, from, prev, c.from, c.prev)
		}
	}
	if _, err := readBookmark(engine.Bookmark{Token: []byte("{")}); err == nil {
		t.Error("half a token was read")
	}
}
