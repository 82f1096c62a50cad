package mem_test

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/mem"
	"github.com/backstaydb/backstay/internal/store/storetest"
)

func TestContract(t *testing.T) {
	for name, s := range map[string]store.Store{"plain": mem.New(), "locking": mem.NewLocking()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := storetest.Check(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestCrashKeepsWhatWasReported(t *testing.T) {
	ctx, s := t.Context(), mem.New()
	put := func(name string) {
		if err := s.Put(ctx, name, strings.NewReader(name), -1); err != nil {
			t.Fatal(err)
		}
	}
	put("settled")
	put("kept")
	_ = s.Delete(ctx, "settled")
	put("deleted-last")
	_ = s.Delete(ctx, "deleted-last")
	r, w := io.Pipe()
	result := make(chan error)
	go func() { result <- s.Put(ctx, "under-way", r, -1) }()
	_, _ = w.Write([]byte("half"))
	s.Crash()
	_ = w.Close()
	if err := <-result; !errors.Is(err, mem.ErrCrashed) {
		t.Fatalf("put under way: %v, want ErrCrashed", err)
	}
	for name, want := range map[string]error{"settled": fs.ErrNotExist, "kept": nil, "deleted-last": nil, "under-way": fs.ErrNotExist} {
		if _, err := s.Stat(ctx, name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

func TestAlterLeavesClonesAlone(t *testing.T) {
	ctx, s := t.Context(), mem.New()
	if err := s.Put(ctx, "object", strings.NewReader("good"), -1); err != nil {
		t.Fatal(err)
	}
	c := s.Clone()
	if err := s.Alter("object", func(b []byte) []byte { b[0] = 'f'; return b }); err != nil {
		t.Fatal(err)
	}
	altered, _ := store.ReadAll(ctx, s, "object", 10)
	kept, _ := store.ReadAll(ctx, c, "object", 10)
	if string(altered) != "food" || string(kept) != "good" {
		t.Fatalf("got %q and %q", altered, kept)
	}
}
