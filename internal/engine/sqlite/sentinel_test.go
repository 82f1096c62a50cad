package sqlite

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

// database makes one in a folder of its own, in a journal mode.
func database(t testing.TB, mode string) (path string, db *sql.DB) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	db, err := sql.Open("sqlite", path+"?_pragma=journal_mode("+mode+")&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE orders (id INTEGER PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	return path, db
}

func TestSentinelIsWrittenReadAndRemoved(t *testing.T) {
	path, db := database(t, "wal")
	now := time.Date(2026, 11, 21, 10, 0, 0, 5000, time.UTC)
	o := engine.Options{Name: "app", Now: func() time.Time { return now }}
	s, err := Engine{}.OpenSentinel(t.Context(), "sqlite:"+path, o)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		now = now.Add(time.Second)
		if err := s.Write(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := s.Write(t.Context()); !isBusy(err) || time.Since(began) > time.Second {
		t.Errorf("while an application writes: %v after %s", err, time.Since(began))
	}
	if _, err := db.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	second := func() (engine.Second, bool) {
		t.Helper()
		if _, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "app.db"), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		server, err := Engine{}.Launch(t.Context(), dir, engine.Reached{})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Stop(t.Context()) //nolint:errcheck // it is read-only
		got, ok, err := server.(engine.SentinelReader).Sentinel(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got, ok
	}
	if got, ok := second(); !ok || got.Count != 3 || !got.Time.Equal(now) {
		t.Errorf("%+v, %t", got, ok)
	}
	for _, dry := range []bool{true, false} {
		if what, err := (Engine{}).DropSentinel(t.Context(), "sqlite:"+path, o, dry); err != nil || what == "" {
			t.Errorf("%q, %v", what, err)
		}
	}
	if got, ok := second(); ok {
		t.Errorf("after it was removed: %+v", got)
	}
	if what, err := (Engine{}).DropSentinel(t.Context(), "sqlite:"+path, o, false); err != nil || what != "" {
		t.Errorf("a second time: %q, %v", what, err)
	}
}

func TestSentinelNeedsWAL(t *testing.T) {
	path, db := database(t, "delete")
	_, err := Engine{}.OpenSentinel(t.Context(), "sqlite:"+path, engine.Options{Name: "app"})
	if _, ok := errors.AsType[*engine.NotGrantedError](err); !ok {
		t.Error(err)
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name = ?", sentinelTable).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d tables, %v", n, err)
	}
}
