package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// copied is a log of volumes with bundles, whole here and copied to a store.
func copied(t *testing.T, entries int) (*audit.Log, store.Store) {
	t.Helper()
	w := newWorld(t)
	w.store, w.full = mem.New(), 300
	l, there := w.open(t, nil), mem.New()
	fill(t, l, 0, entries)
	if _, err := l.CopyTo(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	return l, there
}

func objectsOf(t *testing.T, s store.Store) []string {
	t.Helper()
	var names []string
	if err := s.List(t.Context(), "", func(o store.Object) error { names = append(names, o.Name); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func replace(t *testing.T, s store.Store, name string, content []byte) {
	t.Helper()
	if err := s.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if content == nil {
		return
	}
	if err := s.Put(t.Context(), name, bytes.NewReader(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
}

// TestDamageOfACopyIsFoundAndMended plants every kind of damage in every object of a copy. It is told apart from damage of the log,
// which is whole, and is gone when the copy was mended.
func TestDamageOfACopyIsFoundAndMended(t *testing.T) {
	for _, entries := range []int{5, 620} { // a checkpoint alone; three volumes, two of them with a bundle
		l, there := copied(t, entries)
		names := objectsOf(t, there)
		if entries > 100 && len(names) < 5 {
			t.Fatalf("objects %q", names)
		}
		for _, name := range names {
			was, err := store.ReadAll(t.Context(), there, name, 1<<24)
			if err != nil {
				t.Fatal(err)
			}
			flip := func(at int) []byte {
				b := slices.Clone(was)
				b[at] ^= 1 << rand.IntN(8)
				return b
			}
			damages := map[string][]byte{"cut": was[:len(was)/2], "first bit": flip(0), "last bit": flip(len(was) - 1), "some bit": flip(rand.IntN(len(was)))}
			if entries < 100 {
				damages["empty"] = []byte{}
				for i := range 30 {
					damages[fmt.Sprintf("bit %d", i)] = flip(rand.IntN(len(was)))
				}
			}
			if !strings.HasSuffix(name, "000002/checkpoint/"+name[len(name)-12:]) && entries > 100 {
				damages["missing"] = nil // at the end of a copy a missing checkpoint is an interrupted copy
			}
			for what, damage := range damages {
				replace(t, there, name, damage)
				v, err := l.Verify(t.Context(), there)
				if err != nil || v.Copies != 1 || !v.Whole() || !slices.ContainsFunc(v.Problems, func(p audit.Problem) bool { return p.Copy != "" }) {
					t.Fatalf("%s of %s: %+v, %v", what, name, v, err)
				}
				if _, err := l.Mend(t.Context(), there); err != nil {
					t.Fatalf("%s of %s: mend: %v", what, name, err)
				}
				if v, err := l.Verify(t.Context(), there); err != nil || len(v.Problems)+len(v.Unfinished) > 0 || v.Copies != 1 {
					t.Fatalf("%s of %s, mended: %+v, %v", what, name, v, err)
				}
				if again, err := store.ReadAll(t.Context(), there, name, 1<<24); err != nil || !bytes.Equal(again, was) {
					t.Fatalf("%s of %s was mended to something else: %v", what, name, err)
				}
			}
		}
	}
}

// TestAnOrdinaryCopyMendsItsOwnEnd: what CopyTo has to read anyway it mends.
func TestAnOrdinaryCopyMendsItsOwnEnd(t *testing.T) {
	l, there := copied(t, 5)
	name := objectsOf(t, there)[0]
	replace(t, there, name, []byte("no checkpoint"))
	if _, err := l.CopyTo(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	if v, err := l.Verify(t.Context(), there); err != nil || len(v.Problems) > 0 || v.Copies != 1 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestAMissingCheckpointIsAnInterruptedCopy tells what is not finished from what is damaged.
func TestAMissingCheckpointIsAnInterruptedCopy(t *testing.T) {
	l, there := copied(t, 400)
	for _, name := range objectsOf(t, there) {
		if strings.Contains(name, "/checkpoint/") {
			replace(t, there, name, nil)
		}
	}
	if v, err := l.Verify(t.Context(), there); err != nil || len(v.Problems) > 0 || len(v.Unfinished) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	bundle := objectsOf(t, there)[0]
	replace(t, there, bundle, []byte("something else"))
	if v, err := l.Verify(t.Context(), there); err != nil || len(v.Problems) != 1 || !v.Whole() {
		t.Errorf("a damaged bundle of an interrupted copy: %+v, %v", v, err)
	}
}

// TestMendingKeepsTraces: what may be of entries that are missing here is not replaced.
func TestMendingKeepsTraces(t *testing.T) {
	w := newWorld(t)
	w.store = mem.New()
	there := mem.New()
	l := w.open(t, nil)
	fill(t, l, 0, 5)
	old := mem.New()
	if _, err := l.CopyTo(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 5, 9)
	if _, err := l.CopyTo(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	// This host is put back to what it was, and the copy's newest checkpoint cannot be read.
	w.store, w.memory = old, nil
	back := w.open(t, nil)
	name := objectsOf(t, there)[0]
	was, err := store.ReadAll(t.Context(), there, name, 1<<24)
	if err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string][]byte{"whole": was, "unreadable": []byte("x")} {
		replace(t, there, name, content)
		var back2 *ledger.RollbackError
		if _, err := back.Mend(t.Context(), there); !errors.As(err, &back2) {
			t.Errorf("%s: %v", what, err)
		}
		if now, err := store.ReadAll(t.Context(), there, name, 1<<24); err != nil || !bytes.Equal(now, content) {
			t.Errorf("%s: the copy was touched: %v", what, err)
		}
	}
}
