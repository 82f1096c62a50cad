package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

func connect(t *testing.T, path string) *Source {
	t.Helper()
	src, err := Engine{}.Connect(t.Context(), "sqlite:"+path, engine.Options{Name: "app", StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src.(*Source)
}

func TestThinPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "app one.db")
	db, err := sql.Open("sqlite", dsn(path, "_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE t(a,b); INSERT INTO t VALUES(1,2)"); err != nil {
		t.Fatal(err)
	}
	s := connect(t, path)
	sink := &enginetest.Sink{}
	res, err := s.TakeBase(t.Context(), engine.BaseOptions{}, sink)
	if err != nil {
		t.Fatal(err)
	}
	rec := enginetest.NewRecorder(res.Bookmark)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Follow(ctx, res.Bookmark, rec.Ship) }()
	for i := range 3000 {
		if _, err := db.Exec("INSERT INTO t VALUES(?, randomblob(300))", i); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for rec.Bookmark().Position.Seq < 3001 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	log, err := rec.Log(t.Context(), 100, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := sink.Lay(out); err != nil {
		t.Fatal(err)
	}
	reached, err := Engine{}.Replay(t.Context(), out, log, engine.Goal{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v %+v", reached, s.Counters())
	db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	db.Close()
	a, _ := os.ReadFile(path)
	b, _ := os.ReadFile(filepath.Join(out, "app one.db"))
	if !bytes.Equal(a, b) {
		t.Errorf("differ: %d and %d bytes", len(a), len(b))
	}
}
