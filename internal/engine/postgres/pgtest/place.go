package pgtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/scratch"
)

// Place makes a folder that the servers' user may enter, as t.TempDir is not, and removes it when the test is over. What a
// killed test leaves is removed by the next one.
func Place(t testing.TB) string {
	t.Helper()
	root := os.TempDir()
	if u, err := server.Owner(root); err != nil || u.Reaches(root) != nil || len(root) > 40 {
		root = "/tmp"
	}
	dir, err := scratch.New(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir.Path(), 0o711); err != nil {
		t.Fatal(err)
	}
	return dir.Path()
}

// Folder makes a new folder that belongs to the servers' user and is closed to others, as PostgreSQL wants its own to be.
func Folder(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(Place(t), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Owner(t).Give(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Owner is the servers' user.
func Owner(t testing.TB) server.User {
	t.Helper()
	u, err := server.Owner("/")
	if err != nil {
		t.Fatal(err)
	}
	return u
}
