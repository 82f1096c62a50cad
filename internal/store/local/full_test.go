package local

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/backstaydb/backstay/internal/directio"
)

// smallDisk is a temporary file on a disk that has room for some more bytes only.
type smallDisk struct {
	writer
	room int
}

func (d *smallDisk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		return 0, &fs.PathError{Op: "write", Path: "temp", Err: syscall.ENOSPC}
	}
	d.room -= len(p)
	return d.writer.Write(p)
}

func (d *smallDisk) Sync() error {
	if d.room == 0 {
		return &fs.PathError{Op: "sync", Path: "temp", Err: syscall.ENOSPC}
	}
	return d.writer.Sync()
}

func TestFullDiskLeavesNothing(t *testing.T) {
	for name, room := range map[string]int{"at the first byte": 5, "midway": 1 << 20, "at sync": 3 << 20} {
		t.Run(name, func(t *testing.T) {
			ctx, s := t.Context(), New(t.TempDir())
			s.create = func(root *os.Root, temp string, large bool) (writer, error) {
				w, err := createTemp(root, temp, large)
				return &smallDisk{w, room}, err
			}
			data := make([]byte, 3<<20)
			err := s.Put(ctx, "object", bytes.NewReader(data), -1)
			checkFull(t, s, err)
			f, err := s.Create(ctx, "object")
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.Write(data)
			if err == nil {
				err = f.Commit(ctx)
			}
			if failed := f.Abort(); failed != nil {
				t.Error(failed)
			}
			checkFull(t, s, err)
			s.create = createTemp
			if err := s.Put(ctx, "object", bytes.NewReader(data), -1); err != nil {
				t.Fatalf("put once there is room again: %v", err)
			}
		})
	}
}

func checkFull(t *testing.T, s *Store, err error) {
	t.Helper()
	var hint interface{ Hint() string }
	if !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &hint) || hint.Hint() == "" {
		t.Fatalf("got %v, want ENOSPC with a hint", err)
	}
	if entries, err := os.ReadDir(filepath.Join(s.dir, tempDir)); err != nil || len(entries) != 0 {
		t.Fatalf("temporary files left: %v, %v", entries, err)
	}
	if _, err := s.Stat(t.Context(), "object"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("stat: %v, want fs.ErrNotExist", err)
	}
}

func TestHardLinksDoWhereRenameIsRefused(t *testing.T) {
	s := New(t.TempDir())
	root, err := s.prepare()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for i, want := range []error{nil, fs.ErrExist} {
		if err := root.WriteFile(".tmp/x", []byte{byte(i)}, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := linkTo(root, ".tmp/x", "object"); !errors.Is(err, want) {
			t.Fatalf("link %d: %v, want %v", i, err, want)
		}
	}
	if got, err := root.ReadFile("object"); err != nil || !bytes.Equal(got, []byte{0}) {
		t.Fatalf("object is %v, %v", got, err)
	}
}

func TestLargeObjectsGoPastTheCache(t *testing.T) {
	s := New(t.TempDir())
	ways := map[bool]int{}
	s.create = func(root *os.Root, temp string, large bool) (writer, error) {
		w, err := createTemp(root, temp, large)
		_, direct := w.(*directio.Writer)
		ways[direct]++
		return w, err
	}
	for name, size := range map[string]int64{"small": 10, "large": largeSize, "unknown": -1} {
		if err := s.Put(t.Context(), name, bytes.NewReader(make([]byte, max(size, 10))), size); err != nil {
			t.Fatal(err)
		}
	}
	if ways[false] != 1 || ways[true] != 2 {
		t.Fatalf("buffered %d, direct %d; want 1 and 2", ways[false], ways[true])
	}
}
