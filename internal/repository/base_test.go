package repository_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// extract lays the base and compares it with what was put in.
func extract(ctx context.Context, t *testing.T, r *repository.Repository, id string) error {
	t.Helper()
	b, err := r.OpenBase(ctx, id)
	if err != nil {
		return err
	}
	defer b.Close()
	dir := t.TempDir()
	stats, err := b.Extract(ctx, dir, repository.ExtractOptions{})
	if err != nil {
		return err
	}
	if stats.Files < len(content) {
		t.Errorf("%d files were laid", stats.Files)
	}
	for name, want := range content {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d: %v", name, len(got), len(want), err)
		}
	}
	return nil
}

func TestBaseThereAndBack(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s store.Store) {
		w := newWorld(t, s)
		base := w.takeBase(t)
		f := facts(t, w.repo)
		if len(f.History.Bases) != 1 || f.History.Bases[0].ID != base.ID || base.Bytes == 0 {
			t.Fatalf("bases %+v", f.History.Bases)
		}
		stored := int64(0)
		_ = s.List(t.Context(), "app/base/", func(o store.Object) error { stored += o.Size; return nil })
		if base.StoredBytes != stored {
			t.Errorf("the base says that it has %d bytes in the store, it has %d", base.StoredBytes, stored)
		}
		if err := extract(t.Context(), t, w.open(t, nil), base.ID); err != nil {
			t.Fatal(err)
		}
		var unlisted *repository.UnlistedError
		if _, err := w.open(t, nil).OpenBase(t.Context(), "nothing"); !errors.As(err, &unlisted) {
			t.Errorf("a base that is not there: %v", err)
		}
	})
}

func TestAbortLeavesNothing(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s store.Store) {
		w := newWorld(t, s)
		b, err := w.repo.NewBase(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Put(t.Context(), engine.File{Name: "big", Mode: 0o600, Size: 5 << 20}, bytes.NewReader(random(5<<20, 3))); err != nil {
			t.Fatal(err)
		}
		if err := b.Abort(); err != nil {
			t.Fatal(err)
		}
		if n := count(t, s, "app/base/"); n != 0 {
			t.Errorf("%d objects are left", n)
		}
		if _, err := b.Commit(t.Context(), history.Base{}); err == nil {
			t.Error("committed after it was given up")
		}
	})
}

// failing fails every Put of some names.
type failing struct {
	store.Store
	part string
	err  error
}

func (f *failing) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if f.err != nil && strings.Contains(name, f.part) {
		_, _ = io.Copy(io.Discard, r)
		return f.err
	}
	return f.Store.Put(ctx, name, r, size)
}

// TestBaseFailsAtEveryStep lets the store fail at one kind of object after the other: the base does not exist then,
// and nothing of it is left.
func TestBaseFailsAtEveryStep(t *testing.T) {
	broken := errors.New("store is full")
	for _, part := range []string{"/pack-00001", "/map-00001", "/manifest", "/ledger/checkpoint"} {
		t.Run(part, func(t *testing.T) {
			s := &failing{Store: mem.New(), part: part}
			w := newWorld(t, s)
			s.err = broken
			if _, err := takeBase(t.Context(), w.repo, 0, w.now); !errors.Is(err, broken) {
				t.Fatalf("got %v", err)
			}
			s.err = nil
			if n := count(t, s, "app/base/"); n != 0 || len(facts(t, w.repo).History.Bases) != 0 {
				t.Errorf("%d objects are left", n)
			}
			w.takeBase(t)
		})
	}
}

// TestMapOfAnotherBase puts an older base's map in place of a newer one's: it decrypts, but it is not the listed one.
func TestMapOfAnotherBase(t *testing.T) {
	s := mem.New()
	w := newWorld(t, s)
	w.repo = w.open(t, func(o *repository.Options) { o.Signer = w.signer }) // with the source's own digest key in both
	first := w.takeBase(t)
	second := w.takeBase(t)
	old, err := store.ReadAll(t.Context(), s, "app/base/"+first.ID+"/map-00001", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Alter("app/base/"+second.ID+"/map-00001", func([]byte) []byte { return old }); err != nil {
		t.Fatal(err)
	}
	var corrupt *repository.CorruptError
	if err := extract(t.Context(), t, w.open(t, nil), second.ID); !errors.As(err, &corrupt) || !strings.Contains(corrupt.Object, "map-00001") {
		t.Errorf("got %v", err)
	}
	if err := extract(t.Context(), t, w.open(t, nil), first.ID); err != nil {
		t.Errorf("the other base: %v", err)
	}
}

func TestCopyBaseNeedsNoKey(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s store.Store) {
		w := newWorld(t, mem.New())
		base := w.takeBase(t)
		second, err := repository.Create(t.Context(), s, repository.CreateOptions{Source: "app", KeyObject: w.repo.KeyObject(), Signer: w.signer, Now: w.clock})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // a copy may be repeated
			if err := second.CopyBase(t.Context(), w.repo, base.ID, nil); err != nil {
				t.Fatal(err)
			}
		}
		if f := facts(t, second); len(f.History.Bases) != 1 || f.History.Bases[0].StoredBytes != base.StoredBytes {
			t.Errorf("bases %+v", f.History.Bases)
		}
		w.store = s
		if err := extract(t.Context(), t, w.open(t, nil), base.ID); err != nil {
			t.Error(err)
		}
	})
}

func TestCopyRefusesDamage(t *testing.T) {
	s := mem.New()
	w := newWorld(t, s)
	base := w.takeBase(t)
	second, err := repository.Create(t.Context(), mem.New(), repository.CreateOptions{Source: "app", KeyObject: w.repo.KeyObject(), Signer: w.signer, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Alter("app/base/"+base.ID+"/pack-00001", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }); err != nil {
		t.Fatal(err)
	}
	var corrupt *repository.CorruptError
	if err := second.CopyBase(t.Context(), w.repo, base.ID, nil); !errors.As(err, &corrupt) {
		t.Errorf("got %v", err)
	}
	if _, err := second.Store().Stat(t.Context(), "app/base/"+base.ID+"/pack-00001"); err == nil {
		t.Error("the damaged pack was copied")
	}
}
