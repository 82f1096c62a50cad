package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/history"
)

// withoutPassword is a cluster's URL over TCP.
func withoutPassword(c *pgtest.Cluster) string {
	return pgtest.HostsURL(pgtest.Backup, "any", c)
}

func TestAPasswordChangesWhileTheLogIsFollowed(t *testing.T) {
	takesLong(t)
	c := withSmallFiles(t, 0, nil)
	file := filepath.Join(t.TempDir(), "pgpass")
	t.Setenv("PGPASSFILE", file)
	remember := func(password string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("*:*:*:*:"+password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	remember(pgtest.Password)
	s := connectBase(t, withoutPassword(c))
	b := newBook(here(t, s))
	f := follow(t, s, b)
	c.Exec(t, "create table t (i int)", "alter role backstay password 'another secret'", "insert into t values (1)")
	b.settled(t) // the stream that there is goes on
	_, err := s.TakeBase(t.Context(), engine.BaseOptions{}, &folderSink{dir: pgtest.Folder(t)})
	wrong := func(what string, err error) {
		t.Helper()
		if code(err) != wrongPassword || !strings.Contains(hint(err), "pgpass") || strings.Contains(err.Error(), "secret") || errors.As(err, new(*history.GapError)) {
			t.Errorf("%s with the old password: %v, hint %q", what, err, hint(err))
		}
	}
	wrong("a base", err)
	c.Restart(t)
	if err := f.wait(); err == nil || errors.As(err, new(*history.GapError)) {
		t.Fatalf("Follow returned %v when the server was started again", err)
	}
	wrong("Follow", follow(t, s, b).wait())
	remember("another secret")
	f = follow(t, s, b)
	if _, err := s.TakeBase(t.Context(), engine.BaseOptions{}, &folderSink{dir: pgtest.Folder(t)}); err != nil {
		t.Errorf("a base with the new password: %v", err)
	}
	b.settled(t)
	f.stop()
	b.holds(t, c)
}

func TestOneOfSeveralHostsIsFollowedOverAFailover(t *testing.T) {
	takesLong(t)
	one := withSmallFiles(t, 0, nil)
	two := one.Standby(t, "two")
	t.Setenv("PGPASSWORD", pgtest.Password)
	s := connectBase(t, pgtest.HostsURL(pgtest.Backup, "read-write", two, one))
	b := newBook(here(t, s))
	f := follow(t, s, b)
	one.Exec(t, "create table t (i int)")
	b.settled(t)
	two.CatchUp(t)
	if n := one.Ask(t, "select count(*)::text from pg_stat_replication where application_name = 'backstay'"); n != "1" {
		t.Errorf("%s streams of ours at the primary, which is the second host of the URL", n)
	}
	one.Crash(t)
	if err := f.wait(); err == nil {
		t.Fatal("Follow went on without a server")
	}
	err := follow(t, s, b).wait()
	if err == nil || errors.As(err, new(*history.GapError)) || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("Follow while there is no primary returned %v", err)
	}
	for _, c := range []*pgtest.Cluster{one, two} {
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("127.0.0.1:%d", c.Port)) {
			t.Errorf("%v does not name the host at port %d", err, c.Port)
		}
	}
	two.Promote(t)
	f = follow(t, s, b)
	two.Exec(t, "create table u (i int)")
	b.settled(t)
	f.stop()
	b.holdsTimeline(t, two, leftAt(t, two))
	// A reader would do too, where any server will.
	if s := connectBase(t, pgtest.HostsURL(pgtest.Backup, "any", two, one)); len(here(t, s).Position.Mark) == 0 {
		t.Error("no position")
	}
}

// TestAnUpgradedServerIsAnotherCluster has a server of a newer version, as pg_upgrade leaves it, with a system
// identifier of its own, take the place of the one that is protected.
func TestAnUpgradedServerIsAnotherCluster(t *testing.T) {
	takesLong(t)
	t.Parallel()
	versions := pgtest.Versions(t)
	after := slices.Max(versions)
	old := pgtest.New(t, pgtest.Options{Version: versions[0], Initdb: []string{"--wal-segsize=1"}})
	o := engine.Options{Name: "shop", StateDir: t.TempDir()}
	reach := func() *Source {
		t.Helper()
		s, err := Engine{}.Connect(t.Context(), old.SocketURL(pgtest.Backup), o)
		if err != nil {
			t.Fatal(err)
		}
		return s.(*Source)
	}
	s := reach()
	r, err := s.TakeBase(t.Context(), engine.BaseOptions{}, &folderSink{dir: pgtest.Folder(t)})
	if err != nil {
		t.Fatal(err)
	}
	b := newBook(r.Bookmark)
	f := follow(t, s, b)
	b.settled(t)
	f.stop()
	old.Stop(t)
	upgraded := pgtest.New(t, pgtest.Options{Version: after, InPlaceOf: old, Initdb: []string{"--wal-segsize=1"}})
	for range 3 { // further than the log of the old one
		upgraded.Exec(t, "create table if not exists t (x text)", "insert into t select repeat(md5(i::text), 30) from generate_series(1, 1000) i", "select pg_switch_wal()")
	}

	refused := func(what string, err error) {
		t.Helper()
		system := upgraded.Ask(t, "select system_identifier from pg_control_system()")
		if err == nil || errors.As(err, new(*history.GapError)) || !strings.Contains(err.Error(), system) || !strings.Contains(hint(err), "pg_upgrade") {
			t.Errorf("%s: %v, hint %q", what, err, hint(err))
		}
	}
	shipped := b.at()
	bare := shipped
	bare.Token = nil // as after the loss of the spool
	for name, s := range map[string]*Source{"the source that was connected before": s, "one that is connected anew": reach()} {
		refused(name+": Follow", follow(t, s, b).wait())
		refused(name+": Follow from a position", follow(t, s, newBook(bare)).wait())
		sink := &folderSink{dir: pgtest.Folder(t)}
		_, err := s.TakeBase(t.Context(), engine.BaseOptions{}, sink)
		refused(name+": TakeBase", err)
		if len(sink.names) > 0 {
			t.Errorf("%s: %d files of another cluster were taken", name, len(sink.names))
		}
	}
	o.StateDir = t.TempDir()
	refused("who remembers nothing: Follow", follow(t, reach(), b).wait())
	if b.at().Position != shipped.Position {
		t.Errorf("log of another cluster was shipped: %s", b.at().Position)
	}
	if n := upgraded.Ask(t, "select count(*) from pg_replication_slots"); n != "0" {
		t.Errorf("%s slots were made at another cluster", n)
	}
}

func TestUsedUpSendersAndSlotsAreNamedAndWaitedFor(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := withSmallFiles(t, 0, map[string]string{"max_wal_senders": "1", "max_replication_slots": "1"})
	freed := func() {
		enginetest.Until(t, waitLimit, "the server to free the sender", func() bool { return c.Ask(t, "select count(*) from pg_stat_replication") == "0" })
	}
	s := connect(t, c)
	freed()
	b := newBook(here(t, s))
	freed()
	f := follow(t, s, b)
	c.Exec(t, "create table t (i int)")
	b.settled(t)
	_, err := s.TakeBase(t.Context(), engine.BaseOptions{}, &folderSink{dir: pgtest.Folder(t)})
	if code(err) != tooMany || !strings.Contains(hint(err), "max_wal_senders") {
		t.Errorf("a base without a free sender: %v, hint %q", err, hint(err))
	}
	c.Exec(t, "insert into t values (1)")
	b.settled(t) // following is as before
	other, err := Engine{}.Connect(t.Context(), c.SocketURL(pgtest.Backup), engine.Options{Name: "second"})
	if code(err) != tooMany || !strings.Contains(hint(err), "max_wal_senders") {
		t.Errorf("another source: %v, %v, hint %q", other, err, hint(err))
	}
	f.stop()
	freed()
	second := connectBase(t, c.SocketURL(pgtest.Backup)) // under another name, so it wants a slot of its own
	freed()
	_, err = second.TakeBase(t.Context(), engine.BaseOptions{}, &folderSink{dir: pgtest.Folder(t)})
	if code(err) != limitReached || !strings.Contains(hint(err), "max_replication_slots") {
		t.Errorf("a base without a free slot: %v, hint %q", err, hint(err))
	}
	freed()
	f = follow(t, s, b)
	b.settled(t)
	f.stop()
	b.holds(t, c)
}
