package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// takesLong leaves a test out where there is little time.
func takesLong(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds")
	}
}

// withSmallFiles makes a cluster with files of 1 MB.
func withSmallFiles(t *testing.T, version int, settings map[string]string) *pgtest.Cluster {
	t.Helper()
	version = cmp.Or(version, pgtest.Default)
	all := keepLog(version)
	for k, v := range settings {
		all[k] = v
	}
	return pgtest.New(t, pgtest.Options{Version: version, Settings: all, Initdb: []string{"--wal-segsize=1"}})
}

// committed waits until a ledger that runs has so many more commits.
func committed(t *testing.T, l *pgtest.Ledger, n int64) {
	t.Helper()
	want := l.Acked() + n
	enginetest.Until(t, waitLimit, "commits to be answered", func() bool { return l.Acked() >= want })
}

func TestFollowShipsTheServersOwnLog(t *testing.T) {
	for _, version := range pgtest.Versions(t) {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			if version != pgtest.Default {
				takesLong(t)
			}
			t.Parallel()
			c := withSmallFiles(t, version, map[string]string{"max_prepared_transactions": "5"})
			l := pgtest.NewLedger(t, c, 3)
			s := connect(t, c)
			b := newBook(here(t, s))
			f := follow(t, s, b)
			stop := l.Run(0)
			committed(t, l, 100)
			c.Exec(t, "create table t (i int); begin; insert into t values (1); savepoint a; insert into t values (2); prepare transaction 'g'")
			xid := c.Ask(t, "select transaction::text from pg_prepared_xacts")
			c.Exec(t, "commit prepared 'g'")
			c.Ask(t, "select pg_create_restore_point('before-migration')::text")
			c.Ask(t, "select pg_switch_wal()::text")
			c.Exec(t, "checkpoint")
			committed(t, l, 50)
			stop()
			l.Settle(t)
			b.settled(t)
			f.stop()
			b.holds(t, c)
			b.knows(t, l)
			named := 0
			for _, m := range b.marks {
				if m.Name == "before-migration" {
					named++
				}
			}
			if named != 1 {
				t.Errorf("%d marks are named before-migration", named)
			}
			var number uint32
			if _, err := fmt.Sscan(xid, &number); err != nil || len(b.mark(number)) != 1 {
				t.Errorf("prepared transaction %q has %d marks", xid, len(b.mark(number)))
			}
			if n := s.Counters(); n.Connected != 1 || n.Shipped == 0 {
				t.Errorf("counters: %+v", n)
			}
			if st := s.Status(); st.LastError != nil || st.Behind != 0 || !st.Position.Equal(b.at().Position) {
				t.Errorf("status: %+v", st)
			}
		})
	}
}

// TestFollow is what needs no server of its own.
func TestFollow(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := withSmallFiles(t, 0, nil)
	for _, x := range []struct {
		name string
		test func(*testing.T, *pgtest.Cluster)
	}{
		{"goes on from any piece", goesOnFromAnyPiece},
		{"ship fails and goes on", shipFailsAndGoesOn},
		{"idle log is known to be whole", idleLogIsKnownToBeWhole},
		{"long records are shipped in parts", longRecordsAreShippedInParts},
		{"the server waits for a slow ship", theServerWaitsForASlowShip},
		{"a log that was lost is a gap", aLogThatWasLostIsAGap},
	} {
		t.Run(x.name, func(t *testing.T) {
			c.Exec(t, "drop table if exists t, ledger, tally")
			x.test(t, c)
		})
	}
}

func goesOnFromAnyPiece(t *testing.T, c *pgtest.Cluster) {
	l := pgtest.NewLedger(t, c, 3)
	s := connect(t, c)
	b := newBook(here(t, s))
	f := follow(t, s, b)
	stop := l.Run(0)
	committed(t, l, 300)
	stop()
	b.settled(t)
	f.stop()
	want := b.at().Position
	for range 25 {
		from := b.bookmarks[rand.IntN(len(b.bookmarks))]
		if rand.IntN(4) == 0 {
			from.Token = nil // all but the position was lost
		}
		again := newBook(from)
		f := follow(t, s, again)
		enginetest.Until(t, 10*time.Second, "the log to be shipped again", func() bool { return !again.at().Position.Before(want) })
		f.stop()
		if from.Position.Equal(want) {
			continue
		}
		again.holds(t, c)
		n := 0
		for _, m := range b.marks {
			if from.Position.Before(m.Position) {
				n++
			}
		}
		if len(again.marks) < n {
			t.Errorf("from %s: %d marks, want %d", from.Position, len(again.marks), n)
		}
	}
}

func TestFollowSurvivesCrashes(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := withSmallFiles(t, 0, nil)
	l := pgtest.NewLedger(t, c, 4)
	s := connect(t, c)
	b := newBook(here(t, s))
	stop := l.Run(0)
	for range 3 {
		f := follow(t, s, b)
		committed(t, l, int64(20+rand.IntN(100)))
		c.Crash(t)
		if err := f.wait(); err == nil || errors.As(err, new(*history.GapError)) {
			t.Fatalf("Follow returned %v when the server was killed", err)
		}
		c.Start(t)
	}
	f := follow(t, s, b)
	committed(t, l, 50)
	stop()
	l.Settle(t)
	b.settled(t)
	f.stop()
	b.holds(t, c)
	b.knows(t, l)
}

func shipFailsAndGoesOn(t *testing.T, c *pgtest.Cluster) {
	l := pgtest.NewLedger(t, c, 1)
	s := connect(t, c)
	b := newBook(here(t, s))
	full := errors.New("disk full")
	for range 3 {
		f := follow(t, s, b)
		l.Commit(t)
		b.settled(t)
		b.set(func(b *book) { b.fail = full })
		l.Commit(t)
		if err := f.wait(); !errors.Is(err, full) {
			t.Fatalf("Follow returned %v, want ship's error", err)
		}
		b.set(func(b *book) { b.fail = nil })
	}
	f := follow(t, s, b)
	b.settled(t)
	f.stop()
	b.holds(t, c)
	b.knows(t, l)
}

func idleLogIsKnownToBeWhole(t *testing.T, c *pgtest.Cluster) {
	l := pgtest.NewLedger(t, c, 1)
	s := connect(t, c)
	b := newBook(here(t, s))
	f := follow(t, s, b)
	l.Commit(t)
	b.settled(t)
	idle := 0
	b.set(func(b *book) { idle = b.idle })
	time.Sleep(3 * time.Second)
	b.set(func(b *book) { idle = b.idle - idle })
	if idle < 2 || idle > 4 {
		t.Errorf("%d idle pieces within 3 s", idle)
	}
	if late := time.Since(b.at().Time); late > 1500*time.Millisecond {
		t.Errorf("an idle source is known to be whole only until %s ago", late)
	}
	f.stop()
}

func TestCommitsWaitForShip(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := withSmallFiles(t, 0, map[string]string{"wal_sender_timeout": "1s"})
	l := pgtest.NewLedger(t, c, 2)
	s := connect(t, c)
	b := newBook(here(t, s))
	f := follow(t, s, b)
	b.settled(t)
	c.Set(t, map[string]string{"synchronous_standby_names": ApplicationName})
	c.Reload(t)
	for range 20 {
		if e := l.Commit(t); len(b.mark(e.XID)) != 1 {
			t.Fatalf("transaction %d was answered and is not here", e.XID)
		}
	}
	release := b.hold()
	done := make(chan pgtest.Entry, 1)
	go func() { done <- l.Commit(t) }()
	select {
	case e := <-done:
		t.Fatalf("transaction %d was answered while ship waited", e.XID)
	case <-time.After(4 * time.Second): // longer than the server waits for one that is silent
	}
	release()
	if e := <-done; len(b.mark(e.XID)) != 1 {
		t.Fatalf("transaction %d was answered and is not here", e.XID)
	}
	if n := s.Counters().Connected; n != 1 {
		t.Errorf("the server gave us up while ship waited: %d connections", n)
	}
	f.stop()
}

func longRecordsAreShippedInParts(t *testing.T, c *pgtest.Cluster) {
	s := connect(t, c)
	b := newBook(here(t, s))
	f := follow(t, s, b)
	c.Ask(t, "select pg_logical_emit_message(false, 'x', repeat('0123456789', 4200000))::text")
	c.Exec(t, "create table t (i int)")
	b.settled(t)
	f.stop()
	b.holds(t, c)
	if n := s.Counters().Parts; n < 40 {
		t.Errorf("%d parts of 42 MB", n)
	}
}

func theServerWaitsForASlowShip(t *testing.T, c *pgtest.Cluster) {
	s := connect(t, c)
	b := newBook(here(t, s))
	b.pause = 100 * time.Millisecond
	f := follow(t, s, b)
	release := b.hold()
	c.Exec(t, "create table t as select repeat(md5(i::text), 20) x from generate_series(1, 100000) i")
	enginetest.Until(t, 20*time.Second, "the server to be held up", func() bool { return s.Counters().Blocked > 0 })
	if st := s.Status(); st.Behind == 0 || st.HeldBytes == 0 || st.Since.IsZero() {
		t.Errorf("status while ship waits: %+v", st)
	}
	release()
	b.settled(t)
	f.stop()
	b.holds(t, c)
}

func hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func aLogThatWasLostIsAGap(t *testing.T, c *pgtest.Cluster) {
	s := connect(t, c)
	b := newBook(here(t, s))
	f := follow(t, s, b)
	c.Exec(t, "create table t (i int)")
	b.settled(t)
	f.stop()
	ahead := b.at()
	ahead.Position = position(1, wal.LSN(ahead.Position.Seq)+1<<20)
	other := b.at()
	m, err := readBookmark(other)
	if err != nil {
		t.Fatal(err)
	}
	m.Sum++
	other.Token = m.token.encode()
	for name, from := range map[string]engine.Bookmark{"ahead of the server": ahead, "another record": other} {
		var gap *history.GapError
		if err := follow(t, s, newBook(from)).wait(); !errors.As(err, &gap) {
			t.Errorf("%s: Follow returned %v, want a gap", name, err)
		}
	}
}
