package app

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/sqlite"
)

// TestSentinelIsKept has a sentinel written into a database, and says why it is not where it cannot be.
func TestSentinelIsKept(t *testing.T) {
	for _, c := range []struct{ mode, says string }{{"wal", ""}, {"delete", "rollback-journal"}} {
		path := filepath.Join(t.TempDir(), "app.db")
		db, err := sql.Open("sqlite", path+"?_pragma=journal_mode("+c.mode+")")
		if err == nil {
			_, err = db.Exec("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
		}
		if err != nil {
			t.Fatal(err)
		}
		s := newSentinel(true, sqlite.Engine{}, "sqlite:"+path, engine.Options{Name: "app", Log: slog.New(slog.DiscardHandler), Now: time.Now})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); s.run(ctx) }()
		until(t, "a word of the sentinel", func() bool { return !s.status().Written.IsZero() || s.status().Error != "" })
		got := *s.status()
		if c.says == "" && (got.Table == "" || got.Error != "") || !strings.Contains(got.Error, c.says) || c.says != "" && (got.Hint == "" || !got.Written.IsZero()) {
			t.Errorf("%s: %+v", c.mode, got)
		}
		cancel()
		<-ended
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if s := newSentinel(false, sqlite.Engine{}, "sqlite:x", engine.Options{}); s != nil || s.status() != nil {
		t.Error("one is kept that nobody asked for")
	}
}
