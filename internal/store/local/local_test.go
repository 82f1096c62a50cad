package local_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/local"
	"github.com/backstaydb/backstay/internal/store/storetest"
)

func TestContract(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "yet", "there")
	if err := storetest.Check(t.Context(), local.New(dir)); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); len(got) != 1 || got[0] != ".tmp" {
		t.Fatalf("the suite left %q", got)
	}
	if got := names(t, filepath.Join(dir, ".tmp")); len(got) != 0 {
		t.Fatalf("temporary files were left: %q", got)
	}
}

func TestReadingMakesNoFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "typo")
	s, err := local.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.List(t.Context(), "", func(store.Object) error { return errors.New("an object") }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), "object"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v, want fs.ErrNotExist", err)
	}
	if err := s.Delete(t.Context(), "object"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("reading made the folder: %v", err)
	}
}

func TestOpenRefusesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Open(t.Context(), path); !errors.Is(err, syscall.ENOTDIR) {
		t.Fatalf("got %v, want ENOTDIR", err)
	}
}

func TestSymbolicLinksLeadNowhere(t *testing.T) {
	ctx, dir, outside := t.Context(), t.TempDir(), t.TempDir()
	s := local.New(dir)
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "out")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "object")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"object", "out/secret"} {
		if r, err := s.Open(ctx, name, 0, -1); err == nil {
			t.Errorf("%s was opened", name)
			_ = r.Close()
		}
		if _, err := s.Path(name); err == nil {
			t.Errorf("%s has a path", name)
		}
		if err := s.Delete(ctx, name); err != nil {
			t.Logf("delete %s: %v", name, err)
		}
	}
	if err := s.Put(ctx, "out/new", strings.NewReader("x"), 1); err == nil {
		t.Error("an object was put outside of the folder")
	}
	if err := s.List(ctx, "", func(o store.Object) error { return errors.New(o.Name) }); err != nil {
		t.Errorf("list shows %v", err)
	}
	if got := names(t, outside); len(got) != 1 {
		t.Errorf("outside of the folder now stand %q", got)
	}
}

func TestALinkForTheTemporaryFolderIsRefused(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, ".tmp")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if err := local.New(dir).Put(t.Context(), "object", strings.NewReader("x"), 1); err == nil {
		t.Fatal("a temporary file was written outside of the folder")
	}
}

func TestOldTemporaryFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	old, young := filepath.Join(dir, ".tmp", "old"), filepath.Join(dir, ".tmp", "young")
	if err := os.Mkdir(filepath.Dir(old), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{old, young} {
		if err := os.WriteFile(path, []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	if err := local.New(dir).Put(t.Context(), "object", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	if got := names(t, filepath.Join(dir, ".tmp")); len(got) != 1 || got[0] != "young" {
		t.Fatalf("temporary files now: %q, want only the young one", got)
	}
}

// Two stores on one folder stand for two processes: they share nothing but the file system.
func TestPutsAndDeletesBesideEachOther(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	var wins atomic.Int32
	var group errgroup.Group
	for range 4 {
		s := local.New(dir)
		group.Go(func() error {
			for range 100 {
				err := s.Put(ctx, "deep/folder/claim", strings.NewReader("x"), 1)
				if err == nil {
					wins.Add(1)
					err = s.Delete(ctx, "deep/folder/claim")
				}
				if err != nil && !errors.Is(err, fs.ErrExist) {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if wins.Load() == 0 {
		t.Fatal("nobody ever won")
	}
}

func TestAFolderIsNoObject(t *testing.T) {
	ctx, s := t.Context(), local.New(t.TempDir())
	if err := s.Put(ctx, "a/b", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "a/b/c"} {
		if _, err := s.Stat(ctx, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stat %s: %v, want fs.ErrNotExist", name, err)
		}
		if err := s.Put(ctx, name, strings.NewReader("x"), 1); err == nil {
			t.Errorf("put %s succeeded", name)
		}
	}
	if err := s.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(ctx, "a/b"); err != nil {
		t.Fatalf("delete of the folder's name took the object: %v", err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	return got
}
