//go:build linux

package app

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/backstaydb/backstay/internal/config"
)

// TestADaemonThatCannotBeginLeavesNothingOpen lets the last thing that is opened fail: nothing may stay open of what came before it.
func TestADaemonThatCannotBeginLeavesNothingOpen(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "app.db"))
	if err == nil {
		_, err = db.ExecContext(t.Context(), "PRAGMA journal_mode=wal; CREATE TABLE t (x)")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, config.Name)
	file := "repositories: { local: { store: ./repo } }\nsources: { app: { url: \"sqlite:./app.db\", repositories: [local] } }\nnotify: [ { to: \"env:NOBODY_SET_THIS\" } ]\n"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first leaves no lock behind either
		err := NewHost(cfg, slog.New(slog.DiscardHandler)).Run(context.Background(), RunOptions{})
		if err == nil || !strings.Contains(err.Error(), "NOBODY_SET_THIS") {
			t.Fatalf("run ended with %v", err)
		}
		if open := openBelow(t, dir); len(open) > 0 {
			t.Errorf("left open: %q", open)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, ".backstay", "catalog.db")); err != nil {
		t.Errorf("it failed before anything was opened: %v", err)
	}
}

// openBelow lists the files in dir that this process has open.
func openBelow(t *testing.T, dir string) []string {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, fd := range fds {
		if name, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(name, dir+"/") {
			open = append(open, name)
		}
	}
	return open
}
