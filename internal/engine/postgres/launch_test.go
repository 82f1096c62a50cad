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
