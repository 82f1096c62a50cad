package audit_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/local"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// plant is one way to damage a log of 1,500 entries in volumes of 600 leaves, whose folder is copied to "copy".
type plant struct {
	name  string
	do    func(t *testing.T, w *world)
	fault audit.Fault
	seen  bool // whether a reader who knows only the keys finds it; if not, it takes what was seen here, or a copy
}

var plants = []plant{
	{"a bit of a bundle", func(t *testing.T, w *world) {
		change(t, w.file(0, "bundle/000001"), func(b []byte) []byte { b[1000] ^= 1; return b })
	}, audit.Altered, true},
	{"a word of an entry, well-formed", func(t *testing.T, w *world) {
		change(t, w.file(0, "bundle/000000"), func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"outcome":"ok"`), []byte(`"outcome":"no"`), 1)
		})
	}, audit.Altered, true},
	{"a word of an entry behind the checkpoint", func(t *testing.T, w *world) {
		change(t, w.newest(t, 2), func(b []byte) []byte { return bytes.Replace(b, []byte("app1"), []byte("app2"), 1) })
	}, audit.Altered, true},
	{"two entries change places", func(t *testing.T, w *world) {
		change(t, w.file(0, "bundle/000000"), func(b []byte) []byte {
			lines := bytes.SplitAfter(b, []byte("\n"))
			lines[7], lines[8] = lines[8], lines[7]
			return bytes.Join(lines, nil)
		})
	}, audit.Altered, true},
	{"an entry is left out", func(t *testing.T, w *world) {
		change(t, w.file(0, "bundle/000000"), func(b []byte) []byte {
			return slices.Concat(slices.Delete(bytes.SplitAfter(b, []byte("\n")), 9, 10)...)
		})
	}, audit.Altered, true},
	{"an entry is put in", func(t *testing.T, w *world) {
		change(t, w.newest(t, 2), func(b []byte) []byte {
			lines := bytes.SplitAfter(b, []byte("\n"))
			return bytes.Join(append(lines, lines[len(lines)-2]), nil)
		})
	}, audit.Altered, true},
	{"the end of a bundle is cut off", func(t *testing.T, w *world) {
		change(t, w.file(1, "bundle/000001"), func(b []byte) []byte { return b[:len(b)/2] })
	}, audit.Altered, true},
	{"the end of the newest checkpoint is cut off", func(t *testing.T, w *world) {
		change(t, w.newest(t, 2), func(b []byte) []byte { return b[:len(b)-5] })
	}, audit.Altered, true},
	{"a bundle is removed", func(t *testing.T, w *world) { remove(t, w.file(1, "bundle/000000")) }, audit.Altered, true},
	{"two bundles change places", func(t *testing.T, w *world) { swap(t, w.file(0, "bundle/000000"), w.file(0, "bundle/000001")) }, audit.Altered, true},
	{"two volumes change places", func(t *testing.T, w *world) { swap(t, w.file(0, ""), w.file(1, "")) }, audit.Foreign, true},
	{"the first volume is removed", func(t *testing.T, w *world) { remove(t, w.file(0, "")) }, audit.Removed, true},
	{"a volume is removed", func(t *testing.T, w *world) { remove(t, w.file(1, "")) }, audit.Removed, true},
	{"all checkpoints of a volume are removed", func(t *testing.T, w *world) { remove(t, w.file(1, "checkpoint")) }, audit.Removed, true},
	{"the newest volume is removed", func(t *testing.T, w *world) { remove(t, w.file(2, "")) }, audit.Rollback, false},
	{"all volumes are removed", func(t *testing.T, w *world) {
		for n := range 3 {
			remove(t, w.file(n, ""))
		}
	}, audit.Rollback, false},
	{"the newest checkpoint is removed", func(t *testing.T, w *world) { remove(t, w.newest(t, 2)) }, audit.Rollback, false},
	{"the last checkpoint of a full volume is removed", func(t *testing.T, w *world) { remove(t, w.newest(t, 0)) }, audit.Altered, true},
	{"an object that is none of the log's", func(t *testing.T, w *world) {
		if err := os.WriteFile(w.file(0, "bundle/note"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}, audit.Altered, true},
	{"a checkpoint is signed by somebody else", func(t *testing.T, w *world) {
		other := newWorld(t)
		other.full = w.full
		l := other.open(t, func(c *audit.Config) { c.Name = w.name() })
		fill(t, l, 0, 3)
		found, _ := filepath.Glob(filepath.Join(other.dir, "log", audit.Volume(w.name(), 0), "checkpoint", "*"))
		b, err := os.ReadFile(slices.Max(found))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.file(2, "checkpoint/000000009999"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}, audit.Altered, true},
	{"the owner of the key writes the first volume anew", func(t *testing.T, w *world) {
		remove(t, w.file(0, ""))
		again := &world{signer: w.signer, now: start, full: w.full, dir: w.dir, store: mem.New()}
		aside(t, w, func() {
			l := again.open(t, nil)
			for i := range 599 {
				e := entry(i)
				e.Why = "a nicer reason"
				if _, err := l.Append(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			again.settle(t)
		})
	}, audit.Altered, true},
	{"the owner of the key writes all anew", func(t *testing.T, w *world) {
		for n := range 3 {
			remove(t, w.file(n, ""))
		}
		again := &world{signer: w.signer, now: start, full: w.full, dir: w.dir, store: mem.New()}
		fill(t, again.open(t, nil), 3000, 4501)
		again.settle(t)
	}, audit.Rollback, false},
}

// aside moves the later volumes away while do writes.
func aside(t *testing.T, w *world, do func()) {
	t.Helper()
	kept := t.TempDir()
	for _, n := range []int{1, 2} {
		if err := os.Rename(w.file(n, ""), filepath.Join(kept, filepath.Base(w.file(n, "")))); err != nil {
			t.Fatal(err)
		}
	}
	do()
	for _, n := range []int{1, 2} {
		if err := os.Rename(filepath.Join(kept, filepath.Base(w.file(n, ""))), w.file(n, "")); err != nil {
			t.Fatal(err)
		}
	}
}

func swap(t *testing.T, a, b string) {
	t.Helper()
	for _, move := range [][2]string{{a, a + ".x"}, {b, a}, {a + ".x", b}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
}

// damaged is a copy of the world in dir that is damaged.
func (w *world) damaged(t *testing.T, p plant) *world {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(w.dir)); err != nil {
		t.Fatal(err)
	}
	d := &world{dir: dir, store: local.New(filepath.Join(dir, "log")), signer: w.signer, full: w.full, now: w.now,
		memory: audit.SeenFile(filepath.Join(dir, "seen"))}
	p.do(t, d)
	return d
}

// newLong is a world with 1,500 entries and a copy of them in another store.
func newLong(t *testing.T) (*world, *local.Store) {
	t.Helper()
	w := newWorld(t)
	w.store = mem.New()
	l := w.open(t, nil)
	fill(t, l, 0, 1500)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w.settle(t)
	l = w.open(t, nil)
	there := local.New(filepath.Join(w.dir, "copy"))
	if _, err := l.CopyTo(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	return w, there
}

func TestDamage(t *testing.T) {
	w, there := newLong(t)
	t.Run("found", func(t *testing.T) { verifyFinds(t, w, there) })
	t.Run("found again", func(t *testing.T) { verifyChangesNothing(t, w) })
	t.Run("not read", func(t *testing.T) { isNotRead(t, w) })
}

func verifyFinds(t *testing.T, w *world, there store.Store) {
	if v, err := w.open(t, nil).Verify(t.Context(), there); err != nil || len(v.Problems) > 0 || v.Copies != 1 || v.Entries != 1500 {
		t.Fatalf("undamaged: %+v, %v", v, err)
	}
	for _, p := range plants {
		t.Run(strings.ReplaceAll(p.name, " ", "-"), func(t *testing.T) {
			d := w.damaged(t, p)
			find := func(name string, want bool, v audit.Verification, err error) {
				t.Helper()
				found := slices.ContainsFunc(v.Problems, func(q audit.Problem) bool { return q.Fault == p.fault })
				if err != nil && len(v.Problems) > 0 || found != want {
					t.Errorf("%s: found is %v, want %v: %v, %v", name, found, want, v.Problems, err)
				}
			}
			blank := d.open(t, func(c *audit.Config) { c.Memory, c.Signer, c.Verifiers = nil, nil, []string{w.signer.Verifier()} })
			v, err := blank.Verify(t.Context())
			find("keys only", p.seen, v, err)
			v, err = d.open(t, nil).Verify(t.Context())
			find("what was seen here", true, v, err)
			v, err = blank.Verify(t.Context(), there)
			find("the copy", true, v, err)
		})
	}
}

// verifyChangesNothing, so that what is found once is found again.
func verifyChangesNothing(t *testing.T, w *world) {
	d := w.damaged(t, plant{do: func(t *testing.T, w *world) { remove(t, w.newest(t, 2)) }})
	for range 2 {
		if v, err := d.open(t, nil).Verify(t.Context()); err != nil || len(v.Problems) == 0 {
			t.Fatalf("%v, %v", v.Problems, err)
		}
	}
}

// isNotRead: a reader is given the volumes before the damage and no more, and nothing is appended behind it.
func isNotRead(t *testing.T, w *world) {
	d := w.damaged(t, plant{do: func(t *testing.T, w *world) {
		change(t, w.file(1, "bundle/000001"), func(b []byte) []byte { b[100] ^= 1; return b })
	}})
	n := 0
	err := d.open(t, nil).Read(context.Background(), audit.Filter{}, func(audit.Record) error { n++; return nil })
	if err == nil || n != 599 {
		t.Errorf("%d entries were read: %v", n, err)
	}
	d = w.damaged(t, plant{do: func(t *testing.T, w *world) {
		change(t, w.newest(t, 2), func(b []byte) []byte { return bytes.Replace(b, []byte("app1"), []byte("app2"), 1) })
	}})
	if _, err := d.open(t, nil).Append(t.Context(), entry(1)); err == nil {
		t.Error("a damaged volume was appended to")
	}
}
