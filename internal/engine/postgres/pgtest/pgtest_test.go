package pgtest_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
)

func TestEveryVersion(t *testing.T) {
	for _, v := range pgtest.Versions(t) {
		t.Run(strconv.Itoa(v), func(t *testing.T) { lifeOf(t, v) })
	}
}

// lifeOf takes a cluster through what tests do with it.
func lifeOf(t *testing.T, version int) {
	c := pgtest.New(t, pgtest.Options{Version: version, Checksums: true, Debian: version == pgtest.Default})
	if got := c.Ask(t, "show server_version_num"); got[:2] != strconv.Itoa(version) {
		t.Errorf("version %s, want %d", got, version)
	}
	l := pgtest.NewLedger(t, c, 2)
	stop := l.Run(0)
	defer stop()
	grow(t, l, 50)
	c.Crash(t)
	c.Start(t)
	grow(t, l, 50)
	s := c.Standby(t, "second")
	grow(t, l, 50)
	stop()
	l.Settle(t)
	s.CatchUp(t)
	l.Check(t, s.Connect(t), l.Now())
	c.Crash(t)
	s.Promote(t)
	l.Move(s)
	stop = l.Run(0)
	grow(t, l, 20)
	stop()
	l.Settle(t)
	l.Check(t, s.Connect(t), l.Now())
	s.Stop(t)
}

func grow(t *testing.T, l *pgtest.Ledger, by int64) {
	t.Helper()
	want := l.Acked() + by
	for deadline := time.Now().Add(30 * time.Second); l.Acked() < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the ledger does not grow: %d commits, want %d", l.Acked(), want)
		}
	}
}

func TestMomentsOfOneWriterAreExact(t *testing.T) {
	c := pgtest.New(t, pgtest.Options{})
	l := pgtest.NewLedger(t, c, 1)
	l.Points = true
	for range 30 {
		l.Commit(t)
	}
	for _, e := range l.Entries() {
		for _, kind := range append(pgtest.Kinds, pgtest.ByName) {
			m, want := l.Moment(kind, e), e.N
			if kind == pgtest.BeforeXID {
				want--
			}
			if m.Least[0] != want || m.Most[0] != want {
				t.Errorf("%s of commit %d: %d to %d, want %d", m.Target, e.N, m.Least[0], m.Most[0], want)
			}
		}
	}
}

// TestTheLedgerSeesWhatIsWrong changes rows behind its back, one at a time.
func TestTheLedgerSeesWhatIsWrong(t *testing.T) {
	c := pgtest.New(t, pgtest.Options{})
	l := pgtest.NewLedger(t, c, 1)
	for range 12 {
		l.Commit(t)
	}
	conn := c.Connect(t)
	if err := l.Compare(t.Context(), conn, l.Now()); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{
		"delete from ledger where n = 12",
		"delete from ledger where n = 5",
		"update ledger set body = body || 'x' where n = 3",
		"update ledger set xid = xid + 1 where n = 3",
		"insert into ledger select writer, 13, xid, body from ledger where n = 12",
		"update tally set sum = sum + 1 where slot = 4",
		"delete from tally where slot = 80",
	} {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if err := l.Compare(t.Context(), conn, l.Now()); err == nil {
			t.Errorf("not seen: %s", change)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClustersAreStrangersAndLeaveNothing(t *testing.T) {
	var dirs []string
	t.Run("two", func(t *testing.T) {
		a, b := pgtest.New(t, pgtest.Options{}), pgtest.New(t, pgtest.Options{})
		const id = "select system_identifier::text from pg_control_system()"
		if a.Ask(t, id) == b.Ask(t, id) {
			t.Error("two clusters have the same system identifier")
		}
		dirs = append(dirs, filepath.Dir(a.Dir), filepath.Dir(b.Dir), a.Server().SocketDir())
	})
	for _, dir := range dirs {
		if _, err := os.Lstat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
}

func TestOpenedRunsACopy(t *testing.T) {
	c := pgtest.New(t, pgtest.Options{})
	l := pgtest.NewLedger(t, c, 1)
	l.Commit(t)
	dir := pgtest.Folder(t)
	c.Stop(t)
	if err := os.CopyFS(dir, os.DirFS(c.Dir)); err != nil {
		t.Fatal(err)
	}
	o := pgtest.Opened(t, c.Version, dir, map[string]string{"work_mem": "1MB"})
	o.Start(t)
	l.Check(t, o.Connect(t), l.Now())
	if got := o.Ask(t, "show work_mem"); got != "1MB" {
		t.Errorf("work_mem %s", got)
	}
	if o.Server().State() != server.Ready {
		t.Errorf("state %q", o.Server().State())
	}
}
