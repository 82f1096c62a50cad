package local_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/store/local"
)

// TestAFolderThatVanishesIsNotMadeAnew: a disk that is unmounted, or a folder that is moved, while a process writes to
// it must not be taken for a place where nothing was written yet.
func TestAFolderThatVanishesIsNotMadeAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "repo")
	s := local.New(dir)
	put := func(name string) error { return s.Put(t.Context(), name, strings.NewReader("x"), 1) }
	if err := put("app/one"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := put("app/two"); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("put into a folder that is gone: %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("the folder was made anew")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := put("app/two"); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("put into an empty folder in the place of the first: %v", err)
	}
	if got := names(t, dir); len(got) > 0 {
		t.Errorf("the empty folder holds %v", got)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := put("app/two"); err != nil {
		t.Errorf("put after the folder came back: %v", err)
	}
}
