package ledger_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store/local"
)

// TestALogDoesNotGoOnInAnotherFolder unmounts the disk of a log between two appends. What lies below its mount point is no empty
// folder, so that the store takes objects there: the log must not.
func TestALogDoesNotGoOnInAnotherFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "repo")
	l, _, _ := newLog(t, local.New(dir))
	addLeaves(t, l, 0, 5)
	if err := errors.Join(os.Rename(dir, dir+".away"), os.MkdirAll(filepath.Join(dir, "audit"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it looks again
		var rollback *ledger.RollbackError
		if _, err := l.Append(t.Context(), l.names.build("x")); !errors.As(err, &rollback) {
			t.Errorf("append below the mount point: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "app", "ledger")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log went on below the mount point: %v", err)
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+".away", dir)); err != nil {
		t.Fatal(err)
	}
	addLeaves(t, l, 5, 10)
	if head, err := l.Head(t.Context()); err != nil || head.Size != 10 {
		t.Errorf("after it came back: %+v, %v", head, err)
	}
}
