package member_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/history"
)

// TestALogThatPartedIsSavedAndTakenBack: the old primary has log that nobody received. It comes back by a rewind, and keeps that log aside.
func TestALogThatPartedIsSavedAndTakenBack(t *testing.T) {
	if testing.Short() {
		t.Skip("the long form starts more servers")
	}
	partedLog(t, pgtest.Default)
}

// TestALogThatPartedWithAnyVersion is the same with each version that is installed.
func TestALogThatPartedWithAnyVersion(t *testing.T) {
	if os.Getenv("BACKSTAY_SOAK") == "" {
		t.Skip("BACKSTAY_SOAK=1 tries all versions")
	}
	for _, v := range pgtest.Versions(t) {
		t.Run(strconv.Itoa(v), func(t *testing.T) {
			if !pgtest.Programs(t, v).Has("pg_rewind") {
				t.Skip("this build has no pg_rewind")
			}
			partedLog(t, v)
		})
	}
}

func partedLog(t *testing.T, version int) {
	w := newWorldOf(t, version, 1)
	first := w.serving(1)
	first.pg.Exec(t, "create table rows (n int)", "create table alone (n int, filler text)")
	w.streaming(first, 2)
	wr := w.write()
	wr.grow(t, 20)
	wr.stop()
	hold := w.deaf("db2", "db3")
	first.pg.Exec(t, "set synchronous_commit = local; insert into alone select n, repeat('x', 500) from generate_series(1, 40000) n")
	first.die()
	log, err := filepath.Glob(filepath.Join(first.pg.Dir, "pg_wal", "00000001*"))
	if err != nil {
		t.Fatal(err)
	}
	had := map[string][]byte{}
	for _, name := range log {
		if had[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	hold()
	second := w.serving(2)
	second.pg.Exec(t, "insert into rows values (-1)")
	first.boot()
	first.becomes(func(f cluster.Fact) bool { return f.Role == cluster.Standby && !f.Blank && f.Following == second.name })
	w.streaming(second, 2)
	if !first.heard("was rewound") || first.heard("copied anew") {
		t.Errorf("it came back in another way: %q", first.said)
	}
	saved, err := filepath.Glob(filepath.Join(first.dir, "aside", "tail-*", "00000001*"))
	if err != nil || len(saved) < 2 {
		t.Fatalf("saved: %v %v", saved, err)
	}
	for _, name := range saved {
		b, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(b, had[filepath.Base(name)]) {
			t.Errorf("%s is not the log that was there: %v", name, err)
		}
	}
	first.mu.Lock()
	told := first.saved
	first.mu.Unlock()
	if len(told) != 1 || filepath.Dir(saved[0]) != told[0].dir || !told[0].from.Before(told[0].to) {
		t.Fatalf("told of what was saved: %+v, it is in %v", told, saved)
	}
	readable(t, first, told[0])
	w.move(first, 3)
	w.streaming(first, 2)
	wr.check(t, first)
	const count = "select count(*) from alone"
	if a, b := first.pg.Ask(t, count), second.pg.Ask(t, count); a != b || a == "40000" {
		t.Errorf("%s rows on the one that came back, %s on the other", a, b)
	}
}

// readable has pg_waldump show what was saved, as the README beside it says.
func readable(t *testing.T, h *host, saved tail) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(saved.dir, "README"))
	if err != nil {
		t.Fatal(err)
	}
	_, command, _ := strings.Cut(strings.TrimSpace(string(b)), "\n\npg_waldump ")
	out, err := exec.Command(filepath.Join(h.pg.Programs.Dir, "pg_waldump"), strings.Fields(command)...).CombinedOutput()
	if n := strings.Count(string(out), " COMMIT "); err != nil || n == 0 {
		t.Errorf("pg_waldump %s: %v: %d commits: %.300s", command, err, n, out)
	}
}

// deaf has members receive nothing until hear is called, though they stay connected.
func (w *world) deaf(names ...string) (hear func()) {
	w.t.Helper()
	var receivers []string
	for _, name := range names {
		receivers = append(receivers, w.host(name).pg.Ask(w.t, "select pid from pg_stat_activity where backend_type = 'walreceiver'"))
	}
	signal := func(name string) {
		for _, pid := range receivers {
			if out, err := exec.Command("kill", name, pid).CombinedOutput(); err != nil {
				w.t.Errorf("kill %s %s: %v %s", name, pid, err, out)
			}
		}
	}
	signal("-STOP")
	return func() { signal("-CONT") }
}

// TestAMemberWithoutDataIsCopied, and counts for nothing before it is whole.
func TestAMemberWithoutDataIsCopied(t *testing.T) {
	if testing.Short() {
		t.Skip("the long form starts more servers")
	}
	w := newWorld(t, 1)
	first := w.serving(1)
	first.pg.Exec(t, "create table rows (n int)")
	wr := w.write()
	wr.grow(t, 20)
	lost := w.host("db3")
	lost.die()
	conf, err := os.ReadFile(filepath.Join(lost.pg.Dir, "postgresql.conf"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(lost.pg.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".conf") {
			if err := os.RemoveAll(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	lost.boot()
	r, err := lost.Probe(t.Context())
	if err != nil || !r.Blank {
		t.Errorf("without data: %+v, %v", r.Fact, err)
	}
	lost.becomes(func(f cluster.Fact) bool { return f.Role == cluster.Standby && !f.Blank && f.Following == "db1" })
	w.streaming(first, 2)
	wr.grow(t, 20)
	wr.stop()
	if after, err := os.ReadFile(filepath.Join(lost.pg.Dir, "postgresql.conf")); err != nil || !bytes.Equal(conf, after) {
		t.Errorf("its own settings were replaced: %v", err)
	}
	if port := lost.pg.Ask(t, "show port"); port != strconv.Itoa(lost.pg.Port) {
		t.Errorf("it listens on %s", port)
	}
	for !caughtUp(t, lost, wr) {
	}
	wr.check(t, lost)
}

func caughtUp(t *testing.T, h *host, wr *writer) bool {
	n, err := strconv.Atoi(h.pg.Ask(t, "select count(*) from rows"))
	return err == nil && n >= wr.count()
}

// TestAMemberThatFellTooFarBehindIsCopied: its primary has dropped the log that it needs next.
func TestAMemberThatFellTooFarBehindIsCopied(t *testing.T) {
	if testing.Short() {
		t.Skip("the long form starts more servers")
	}
	w := newWorld(t, 1)
	first := w.serving(1)
	first.pg.Exec(t, "create table rows (n int)")
	wr := w.write()
	wr.grow(t, 20)
	behind := w.host("db3")
	behind.die()
	first.pg.Exec(t, "alter system set wal_keep_size = 0", "select pg_reload_conf()",
		"select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active")
	for range 4 {
		first.pg.Exec(t, "create table if not exists filler (n int)", "insert into filler values (1)", "select pg_switch_wal()", "checkpoint")
	}
	wr.grow(t, 20)
	behind.boot()
	behind.becomes(func(f cluster.Fact) bool {
		return f.Role == cluster.Standby && !f.Blank && f.Following == "db1" && behind.heard("copied anew")
	})
	wr.stop()
	for !caughtUp(t, behind, wr) {
	}
	wr.check(t, behind)
}

// TestAnotherServersDataIsLeftAlone: a server that is no copy of the primary is not brought back, whatever else is so.
func TestAnotherServersDataIsLeftAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("the long form starts more servers")
	}
	t.Parallel()
	primary, other := pgtest.New(t, pgtest.Options{Settings: small}), pgtest.New(t, pgtest.Options{Settings: small})
	other.Exec(t, "create table precious as select 1 n")
	s, err := member.New(member.Config{
		Name: "db2", Dir: other.Dir, URL: other.SocketURL(pgtest.Admin), Programs: other.Programs, Aside: t.TempDir(),
		Members: map[string]string{"db1": fmt.Sprintf("host=%s port=%d user=postgres", primary.Server().SocketDir(), primary.Port)},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	primary.Exec(t, "select pg_switch_wal()", "checkpoint", "select pg_switch_wal()", "checkpoint")
	err = s.Rejoin(t.Context(), "db1", 1, func(history.Position) error {
		t.Error("it began to discard")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "no copies of one server") {
		t.Errorf("rejoined: %v", err)
	}
	if err := s.Start(t.Context(), cluster.Primary); err != nil {
		t.Fatal(err)
	}
	defer member.Halt(context.Background(), other.Dir)
	if n := other.Ask(t, "select n from precious"); n != "1" {
		t.Errorf("precious is %q", n)
	}
}
