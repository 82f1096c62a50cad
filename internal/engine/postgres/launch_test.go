//go:build unix

package postgres

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// asked launches a server on dir and returns what Verify found, by name.
func asked(t *testing.T, dir string, r engine.Reached) map[string]engine.Check {
	t.Helper()
	s, err := Engine{}.Launch(t.Context(), dir, r)
	if err != nil {
		t.Fatal(err)
	}
	checks, err := s.Verify(t.Context())
	if err != nil {
		t.Error(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	found := map[string]engine.Check{}
	for _, c := range checks {
		t.Logf("%s: %v: %s (%.2f s)", c.Name, c.OK, c.Detail, c.Seconds)
		found[c.Name] = c
	}
	return found
}

func testPlantedDamage(t *testing.T, w *world) {
	l := w.log(t, 1<<20)
	dir, r := w.restored(t, l, l.segments[len(l.segments)-1].To)
	ledger := w.cluster.Ask(t, "select pg_relation_filepath('ledger')")
	index := w.cluster.Ask(t, "select pg_relation_filepath('ledger_pkey')")

	for _, c := range asked(t, dir, r) {
		if !c.OK {
			t.Errorf("%s: %s", c.Name, c.Detail)
		}
	}
	for name, c := range map[string]struct {
		harm  func(t *testing.T, dir string)
		wrong engine.Reached
		fails []string
		says  string
	}{
		"a flipped bit in a table":  {harm: func(t *testing.T, dir string) { flip(t, filepath.Join(dir, ledger), 8192+5000) }, fails: []string{"page checksums", "amcheck"}, says: ledger},
		"a flipped bit in an index": {harm: func(t *testing.T, dir string) { flip(t, filepath.Join(dir, index), 8192+8000) }, fails: []string{"page checksums", "amcheck"}, says: index},
		"a table that lacks its file": {harm: func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, ledger)); err != nil {
				t.Fatal(err)
			}
		}, fails: []string{"catalog", "amcheck"}, says: "no file"},
		"an index that is older than its table": {harm: func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(w.base, index))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, index), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, fails: []string{"amcheck"}, says: "ledger_pkey"},
		"another place": {harm: func(*testing.T, string) {}, wrong: engine.Reached{Position: position(1, w.stop)}, fails: []string{"position"}, says: "want"},
	} {
		t.Run(name, func(t *testing.T) {
			harmed := filepath.Join(pgtest.Place(t), "harmed")
			cloneTree(t, dir, harmed)
			c.harm(t, harmed)
			reached := r
			if !c.wrong.Position.IsZero() {
				reached = c.wrong
			}
			found, said := asked(t, harmed, reached), ""
			for _, name := range c.fails {
				if found[name].OK {
					t.Errorf("%s found nothing", name)
				}
				said += found[name].Detail
			}
			if !strings.Contains(said, c.says) {
				t.Errorf("it says %q, without %q", said, c.says)
			}
		})
	}
}

// testForeignHost asks about data that is sound, from a source that has what this host has not, and whose roles and
// databases have settings of their own.
func testForeignHost(t *testing.T, w *world) {
	l := w.log(t, 1<<20)
	dir, r := w.restored(t, l, l.segments[len(l.segments)-1].To)
	f, err := readFacts(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(f.libraries(), "citext.so"))
	if err != nil {
		t.Skip(err) // not every build of a server brings extensions along
	}
	library := filepath.Join(pgtest.Folder(t), "vanishing.so")
	if err := os.WriteFile(library, b, 0o755); err != nil {
		t.Fatal(err)
	}
	c := pgtest.Opened(t, w.cluster.Version, dir, nil)
	c.Start(t)
	for _, command := range []string{
		"create function vanishing(text, text) returns int language c immutable strict as '" + library + "', 'citext_cmp'",
		"create operator class vanishing for type text using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 vanishing(text, text)",
		"create table v as select g::text x from generate_series(1, 1000) g",
		"create index ordered_elsewhere on v (x vanishing)",
		"create database half_dropped",
		"update pg_database set datconnlimit = -2 where datname = 'half_dropped'",
		"alter role postgres set statement_timeout = 1; alter database postgres set session_preload_libraries = 'no_such_library'; alter role postgres set default_transaction_read_only = on; alter role postgres set session_preload_libraries = 'no_such_library'",
	} {
		c.Exec(t, command)
	}
	c.Stop(t)
	if err := os.Remove(library); err != nil {
		t.Fatal(err)
	}
	found := asked(t, dir, r)
	if len(found) != 4 {
		t.Errorf("%d checks were made, want 4", len(found))
	}
	for _, c := range found {
		if !c.OK {
			t.Errorf("%s: %s", c.Name, c.Detail)
		}
	}
	if said := found["amcheck"].Detail; !strings.Contains(said, "1 left out, as "+library+" is not on this host") {
		t.Errorf("amcheck says %q, and not that an index could not be looked at", said)
	}
}

// testWithoutAmcheck asks where the extension is not installed: every table is read, and that is said.
func testWithoutAmcheck(t *testing.T, w *world) {
	w.cluster.Exec(t, "create materialized view if not exists empty_view as select n from ledger with no data")
	l := w.log(t, 1<<20)
	dir, r := w.restored(t, l, l.segments[len(l.segments)-1].To)
	structures := func() (string, error) {
		t.Helper()
		s, err := Engine{}.Launch(t.Context(), dir, r)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Stop(t.Context())
		return (&verification{launched: s.(*launched), extension: "no_such_extension"}).structures(t.Context())
	}
	said, err := structures()
	if err != nil || !strings.HasPrefix(said, "no_such_extension is not installed on this host; ") {
		t.Errorf("structures: %q, %v", said, err)
	}
	flip(t, filepath.Join(dir, w.cluster.Ask(t, "select pg_relation_filepath('ledger')")), 8192+5000)
	if _, err := structures(); err == nil || !strings.Contains(err.Error(), "invalid page in block 1") {
		t.Errorf("structures of a damaged table: %v", err)
	}
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// cloneTree copies a data directory for a server of its own.
func cloneTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := filepath.Walk(to, func(p string, info os.FileInfo, err error) error {
		if err == nil && info.IsDir() {
			err = os.Chmod(p, 0o700)
		} else if err == nil {
			err = os.Chmod(p, 0o600)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// rename gives the first superuser another name for a moment, and returns a position at which he had it.
func (w *world) rename(t *testing.T) wal.LSN {
	t.Helper()
	w.cluster.Exec(t, "create role boss superuser login")
	conn, err := pgx.Connect(t.Context(), w.cluster.SocketURL("boss"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `alter role postgres rename to "first one"`); err != nil {
		t.Fatal(err)
	}
	var renamed string
	if err := conn.QueryRow(t.Context(), "select pg_current_wal_insert_lsn()::text").Scan(&renamed); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `alter role "first one" rename to postgres`); err != nil {
		t.Fatal(err)
	}
	at, err := wal.ParseLSN(renamed)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func testFirstRole(t *testing.T, w *world, renamed wal.LSN) {
	dir, r := w.restored(t, w.log(t, 1<<20), position(1, renamed))
	s, err := Engine{}.Launch(t.Context(), dir, r)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(t.Context())
	if !strings.Contains(s.DSN(), "first%20one@") {
		t.Errorf("DSN is %s", s.DSN())
	}
}

// testStart leaves a server running and stops it with the command that it was told.
func testStart(t *testing.T, w *world) {
	l := w.log(t, 1<<20)
	dir, _ := w.restored(t, l, l.segments[len(l.segments)-1].To)
	spaced := filepath.Join(filepath.Dir(dir), "it's here")
	if err := os.Rename(dir, spaced); err != nil {
		t.Fatal(err)
	}
	dir = spaced
	s, err := Engine{}.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("sh", "-c", s.Stop).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", s.Stop, err, out)
		}
		requireNoServer(t, dir)
	})
	conn, err := pgx.Connect(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if name := conn.Config().Database; name != peopleDatabase {
		t.Errorf("it leads to database %s, want %s", name, peopleDatabase)
	}
	if log, err := os.ReadFile(s.Log); err != nil || strings.Contains(string(log), "could not") {
		t.Errorf("its log complains: %s (%v)", log, err)
	}
	var archiving string
	if err := conn.QueryRow(t.Context(), "select current_setting('archive_mode')").Scan(&archiving); err != nil || archiving != "off" {
		t.Errorf("archive_mode is %q, %v", archiving, err)
	}
}
