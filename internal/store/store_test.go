package store_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/mem"
)

func TestReadAllHasABound(t *testing.T) {
	ctx, s := t.Context(), mem.New()
	if err := s.Put(ctx, "x", strings.NewReader("12345"), 5); err != nil {
		t.Fatal(err)
	}
	if got, err := store.ReadAll(ctx, s, "x", 5); err != nil || string(got) != "12345" {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := store.ReadAll(ctx, s, "x", 4); err == nil {
		t.Fatal("an object above the bound was read")
	}
}

func TestInputTellsTheReadersFaults(t *testing.T) {
	broken := errors.New("broken")
	for name, r := range map[string]io.Reader{
		"short":  strings.NewReader("1234"),
		"long":   strings.NewReader("123456"),
		"broken": io.MultiReader(strings.NewReader("123"), errReader{broken}),
	} {
		_, err := io.ReadAll(store.Input(t.Context(), r, 5))
		if _, ok := errors.AsType[*store.InputError](err); !ok || name == "broken" && !errors.Is(err, broken) {
			t.Errorf("%s: got %v, want an InputError", name, err)
		}
	}
	if got, err := io.ReadAll(store.Input(t.Context(), strings.NewReader("12345"), 5)); err != nil || len(got) != 5 {
		t.Errorf("exact: %q, %v", got, err)
	}
	lost := errors.New("lease lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(lost)
	if _, err := io.ReadAll(store.Input(ctx, strings.NewReader("x"), 1)); !errors.Is(err, lost) {
		t.Errorf("ended: %v, want the cause", err)
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestWithHasTheExtrasThatAreGiven(t *testing.T) {
	for i := range 4 {
		var l store.Locker
		var f store.Filer
		if i&1 != 0 {
			l = noLocker{}
		}
		if i&2 != 0 {
			f = noFiler{}
		}
		s := store.With(mem.New(), l, f)
		_, isLocker := s.(store.Locker)
		_, isFiler := s.(store.Filer)
		if isLocker != (l != nil) || isFiler != (f != nil) {
			t.Errorf("%d: locker %v, filer %v", i, isLocker, isFiler)
		}
	}
}

type noLocker struct{}

func (noLocker) Lock(context.Context, string, time.Time) error { return errors.ErrUnsupported }
func (noLocker) LockedUntil(context.Context, string) (time.Time, error) {
	return time.Time{}, errors.ErrUnsupported
}

type noFiler struct{}

func (noFiler) Create(context.Context, string) (store.File, error) { return nil, errors.ErrUnsupported }
func (noFiler) Path(string) (string, error)                        { return "", errors.ErrUnsupported }

func FuzzValidName(f *testing.F) {
	for _, seed := range []string{"a", "a/b-c_1.2=3", "", ".", "a/../b", "/a", "a/", ".a", "a.", "ä", strings.Repeat("a/", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		err := store.ValidName(name)
		if err != nil {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Fatalf("%q: %v is not fs.ErrInvalid", name, err)
			}
			return
		}
		if !fs.ValidPath(name) || len(name) > 512 || strings.ContainsAny(name, "\\: ") || strings.Contains("/"+name, "/.") || strings.Contains(name+"/", "./") {
			t.Fatalf("%q passes", name)
		}
	})
}
