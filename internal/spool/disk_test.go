package spool

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

func TestFullDiskLeavesTheSpoolAsItWas(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{})
	add(t, s, pieces(1, 3, 300)...)
	room := 700
	s.writeAt = func(f *os.File, b []byte, off int64) error {
		n := min(room, len(b))
		if err := writeAt(f, b[:n], off); err != nil {
			return err
		}
		if n < len(b) {
			return &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
		}
		return nil
	}
	var refused *WriteError
	if err := s.Append(t.Context(), pieces(4, 9, 300)); !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &refused) || refused.Need < 6*300 {
		t.Fatalf("err = %v", err)
	}
	if err := s.Room(1000); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("room: %v", err)
	}
	expect(t, s, history.Position{}, pieces(1, 3, 300))
	s.writeAt = writeAt
	if err := s.Room(1 << 20); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	add(t, s, pieces(4, 5, 300)...)
	s.Close()
	expect(t, open(t, dir, Options{}), history.Position{}, pieces(1, 5, 300))
}

func TestFailedSyncIsNeverTrusted(t *testing.T) {
	dir := t.TempDir()
	fail := false
	s := start(t, dir, Options{Sync: func(f *os.File) error {
		if fail {
			return io.ErrShortWrite
		}
		return f.Sync()
	}})
	add(t, s, pieces(1, 3, 300)...)
	fail = true
	if err := s.Append(t.Context(), pieces(4, 9, 300)); !errors.Is(err, io.ErrShortWrite) {
		t.Fatalf("err = %v", err)
	}
	fail = false
	add(t, s, pieces(4, 4, 300)...)
	if n := s.Stats().Journals; n != 2 {
		t.Errorf("went on in the journal whose sync failed: %d journals", n)
	}
	// What the failed sync left behind the end does not count.
	f, err := os.OpenFile(filepath.Join(dir, journalName(1)), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("left behind"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s.Close()
	expect(t, open(t, dir, Options{}), history.Position{}, pieces(1, 4, 300))
}

// TestCrashAtEveryStep copies the folder before and after each write, sync and deletion, and opens each copy: what
// had been acknowledged and not released is there, and nothing that was not appended.
func TestCrashAtEveryStep(t *testing.T) {
	dir := t.TempDir()
	var acked, attempted, released uint64
	states := 0
	check := func() {
		states++
		at := filepath.Join(t.TempDir(), "s")
		copyDir(t, dir, at)
		s, err := Open(at, Options{Sync: unsynced})
		if err != nil {
			t.Fatalf("state %d: %v", states, err)
		}
		defer s.Close()
		got, err := contents(s, history.At(1, released))
		if err != nil {
			t.Fatalf("state %d: %v", states, err)
		}
		book := s.Bookmark().Position.Seq
		if n := uint64(len(got)); book != released+n || book != acked && book != attempted {
			t.Fatalf("state %d: %d pieces and bookmark %d; acknowledged %d, attempted %d, released %d", states, n, book, acked, attempted, released)
		}
		if diff := cmp.Diff(pieces(released+1, released+uint64(len(got)), 90), got, cmp.Transformer("none", func(p []engine.Piece) []engine.Piece {
			return append([]engine.Piece{}, p...)
		})); diff != "" {
			t.Fatal(diff)
		}
	}
	s := start(t, dir, Options{JournalBytes: 1500, Sync: func(f *os.File) error {
		check()
		defer check()
		return f.Sync()
	}})
	s.writeAt = func(f *os.File, b []byte, off int64) error {
		half := len(b) / 2
		if err := writeAt(f, b[:half], off); err != nil {
			return err
		}
		check()
		return writeAt(f, b[half:], off+int64(half))
	}
	syncDir := s.syncDir
	s.syncDir = func(dir string) error { check(); return syncDir(dir) }
	for most := 60 / uint64(stride(3)); acked < most; {
		attempted = acked + 1 + acked%3
		add(t, s, pieces(acked+1, attempted, 90)...)
		acked = attempted
		check()
		if acked%5 == 0 {
			to := acked - acked/2%2
			released = to
			if err := s.Release(history.At(1, to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if states < 50 {
		t.Errorf("only %d states were checked", states)
	}
}
