package mirror

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/fault"
	"github.com/backstaydb/backstay/internal/store/mem"
	"github.com/backstaydb/backstay/internal/store/storetest"
)

func TestSuite(t *testing.T) {
	s := New(Source{"a", mem.New()}, []Source{{"b", mem.New()}}, shared)
	if err := storetest.Check(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func shared(name string) bool { return strings.HasPrefix(name, "equal/") }

func put(t *testing.T, s store.Store, name, content string) {
	t.Helper()
	if err := s.Put(t.Context(), name, strings.NewReader(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s store.Store, name string, offset, length int64) (string, error) {
	t.Helper()
	r, err := s.Open(t.Context(), name, offset, length)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func TestWhatIsMissingComesFromAnother(t *testing.T) {
	a, b, c := mem.New(), mem.New(), mem.New()
	put(t, c, "equal/x", "content")
	put(t, b, "own", "of b")
	s := New(Source{"a", a}, []Source{{"b", b}, {"c", c}}, shared)
	if got, err := get(t, s, "equal/x", 3, -1); got != "tent" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	taken := s.Taken()
	if len(taken) != 2 || taken[0].Lacks != "a" || taken[1].From != "c" || !errors.Is(taken[0].Err, fs.ErrNotExist) {
		t.Errorf("taken %+v", taken)
	}
	if _, err := get(t, s, "own", 0, -1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an object that is not shared: %v", err)
	}
	if _, err := get(t, s, "equal/none", 0, -1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an object that none has: %v", err)
	}
}

func TestDamagedIsReadElsewhere(t *testing.T) {
	a, b, c := mem.New(), mem.New(), mem.New()
	put(t, a, "equal/x", "wrong")
	put(t, c, "equal/x", "right")
	s := New(Source{"a", a}, []Source{{"b", b}, {"c", c}}, shared)
	if got, err := get(t, s, "equal/x", 0, -1); got != "wrong" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if from, ok := s.Elsewhere(t.Context(), "equal/x", errors.New("digest")); !ok || from != "c" {
		t.Errorf("elsewhere is %q, %v", from, ok)
	}
	if got, err := get(t, s, "equal/x", 0, -1); got != "right" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, ok := s.Elsewhere(t.Context(), "equal/x", errors.New("digest")); ok {
		t.Error("nothing is left and it does not say so")
	}
}

func TestAReadThatBreaksOffGoesOnElsewhere(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	a, b := mem.New(), mem.New()
	put(t, a, "equal/x", content)
	put(t, b, "equal/x", content)
	broken := fault.Wrap(a, fault.NewPlan(fault.Rule{Op: fault.Open, Effect: fault.Cut(4321)}))
	s := New(Source{"a", broken}, []Source{{"b", b}}, shared)
	got, err := get(t, s, "equal/x", 100, 9000)
	if err != nil || got != content[100:9100] {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if taken := s.Taken(); len(taken) != 1 || taken[0].From != "b" {
		t.Errorf("taken %+v", taken)
	}
}
