package app

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/s3/s3test"
)

// TestLockReachesTheStore: what the file says about a repository holds for what is put there, or nothing begins.
func TestLockReachesTheStore(t *testing.T) {
	server := s3test.Start(t)
	server.SetEnv(t)
	const lock = 48 * time.Hour
	begin := func(storeURL string) error {
		h := NewHost(&config.Config{
			Path:         filepath.Join(t.TempDir(), config.Name),
			Repositories: map[string]config.Repository{"far": {Store: storeURL, Lock: config.Span(lock)}},
			Sources:      map[string]config.Source{"app": {URL: "sqlite:./app.db", Promise: config.Promise{Repositories: []string{"far"}}}},
		}, slog.New(slog.DiscardHandler))
		w, err := h.newWriters(t.Context(), "app", "sqlite", "id")
		if err != nil {
			return err
		}
		return w.close()
	}
	var no *repository.NoLockError
	for _, cannot := range []string{"./repo", server.Bucket(t, "plain", false)} {
		if err := begin(cannot); !errors.As(err, &no) {
			t.Errorf("%s: %v", cannot, err)
		}
	}
	locking := server.Bucket(t, "locking", true)
	if err := begin(locking); err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(t.Context(), locking, "")
	if err != nil {
		t.Fatal(err)
	}
	objects := 0
	err = s.List(t.Context(), "app/", func(o store.Object) error {
		objects++
		until, err := s.(store.Locker).LockedUntil(t.Context(), o.Name)
		if until.Before(time.Now().Add(lock - time.Minute)) {
			t.Errorf("%s is locked until %s", o.Name, until)
		}
		return err
	})
	if err != nil || objects < 3 {
		t.Errorf("%d objects, %v", objects, err)
	}
}
