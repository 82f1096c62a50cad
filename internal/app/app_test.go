package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/config"
)

func TestNameOf(t *testing.T) {
	for url, want := range map[string]string{
		"sqlite:./app.db": "app", "sqlite:/var/lib/my shop/data.sqlite3": "data", "sqlite:.hidden.db": "hidden",
		"sqlite:./über name.db": "ber-name", "sqlite:./---": "app", "sqlite:": "app",
		"postgres://me@db1.example.org:5432/shop": "db1", "postgres://me@127.0.0.1:5432": "postgres", "postgres://me@localhost": "postgres",
		"postgres:///shop?host=/var/run/postgresql": "postgres",
	} {
		if got := NameOf(url); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

func TestLockKeepsASecondDaemonOut(t *testing.T) {
	state := filepath.Join(t.TempDir(), ".backstay")
	unlock, err := lock(state)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lock(state)
	var busy *BusyError
	if !errors.As(err, &busy) || !strings.HasPrefix(busy.Owner, "pid ") || busy.Hint() == "" {
		t.Errorf("second: %v", err)
	}
	unlock()
	unlock, err = lock(state)
	if err != nil {
		t.Fatalf("after the first ended: %v", err)
	}
	unlock()
	info, err := os.Stat(state)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state folder %v, %v", info.Mode(), err)
	}
}

func TestKeysAreMadeOnceAndReadByStockAge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backstay.key")
	h := NewHost(&config.Config{}, slog.New(slog.DiscardHandler))
	recipient, err := makeKey(path, h.Now(), "host+1+k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := makeKey(path, h.Now(), "host+1+k"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the key was made again: %v", err)
	}
	if got, err := recipientOf(path); err != nil || got != recipient {
		t.Errorf("public half %s, %v", got, err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if ids, err := age.ParseIdentities(file); err != nil || len(ids) != 1 {
		t.Errorf("age reads %d identities, %v", len(ids), err)
	}
	if info, err := file.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestKeyErrorsShowNoSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("AGE-SECRET-KEY-1NOTQUITE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ReadKey(path)
	var key *KeyError
	if !errors.As(err, &key) || strings.Contains(err.Error(), "NOTQUITE") {
		t.Errorf("error %v", err)
	}
	_, err = ReadKey(path + "x")
	if !errors.As(err, &key) || !isMissingKey(err) {
		t.Errorf("missing: %v", err)
	}
}

func TestStoresAreFoundByScheme(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenStore(t.Context(), "./repo", dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "a", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "repo", "a")); err != nil {
		t.Error(err)
	}
	for _, url := range []string{"gopher://x", "s3://NotABucket", "s3://bucket?secret_key=hunter2"} {
		_, err := OpenStore(t.Context(), url, dir)
		var wrong *config.Error
		if !errors.As(err, &wrong) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestPlanProtectChangesNothing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, config.Name)
	_, err := PlanProtect(context.Background(), ProtectOptions{Config: file, URL: "sqlite:./none.db"}, slog.New(slog.DiscardHandler))
	var source *SourceError
	if !errors.As(err, &source) {
		t.Errorf("missing database: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := PlanProtect(context.Background(), ProtectOptions{Config: file, URL: "sqlite:./app.db", Stores: []string{"./a", "./b", "s3://bucket/x"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.Repositories, " "); got != "local local2 s3" || p.Source != "app" || p.MakesKey != filepath.Join(dir, "backstay.key") {
		t.Errorf("plan %+v", p)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the plan left %v, %v", entries, err)
	}
}
