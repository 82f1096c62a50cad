package file

import (
	"os"
	"testing"

	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/lease/leasetest"
)

func TestSuite(t *testing.T) {
	dir := t.TempDir()
	if err := leasetest.Check(t.Context(), func() (lease.Store, error) { return Open(dir) }); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) > 4*(keep+2) {
		t.Errorf("%d files stay, %v", len(names), err)
	}
}

// TestAWriterThatStoodStillIsToldSo: it looked before many changes, and the version that it makes was removed meanwhile.
func TestAWriterThatStoodStillIsToldSo(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var e lease.Entry
	for range 3 * keep {
		if e, err = s.Swap(t.Context(), "k", e.Revision, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.path("k", 2), []byte("late"), 0o600); err != nil { // as CreateOnly would now do
		t.Fatal(err)
	}
	if _, err := s.settle("k", lease.Entry{Revision: 2}); err == nil {
		t.Error("it was told that its version counts")
	}
	if now, err := s.Get(t.Context(), "k"); err != nil || now.Revision != e.Revision {
		t.Errorf("it counts: %+v, %v", now, err)
	}
}

func TestKeysAreNames(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "../etc", "a.b", `a\b`} {
		if _, err := s.Swap(t.Context(), key, 0, nil); err == nil {
			t.Errorf("%q was taken", key)
		}
	}
}
