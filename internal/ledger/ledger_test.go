package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/local"
	"github.com/backstaydb/backstay/internal/store/mem"
)

func addLeaves(t *testing.T, l testLog, from, to int) ledger.Checkpoint {
	t.Helper()
	var head ledger.Checkpoint
	for i := from; i < to; i++ {
		var err error
		if head, err = l.Append(t.Context(), l.names.build(fmt.Sprintf("leaf%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	return head
}

func newLog(t *testing.T, s store.Store) (testLog, []string, *clock) {
	t.Helper()
	c := &clock{t: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)}
	signers, verifiers := newSigners(t, 1)
	l := openLog(t, s, signers[0], verifiers, c.now)
	if _, err := l.Create(t.Context(), ledger.Change{}); err != nil {
		t.Fatal(err)
	}
	return l, verifiers, c
}

func TestAppendAndReadBack(t *testing.T) {
	for name, s := range map[string]store.Store{"mem": mem.New(), "local": local.New(t.TempDir())} {
		t.Run(name, func(t *testing.T) {
			l, verifiers, c := newLog(t, s)
			addLeaves(t, l, 0, 600)
			tips := []ledger.Tip{{Name: "tip/1/a", Size: 3, SHA256: "00", Body: []byte(`{"x":1}`)}}
			whole := history.Moment{Position: history.Position{Timeline: 1, Seq: 9, Mark: "uuid:1-9, uuid:3"}, Time: c.now()}
			written, err := l.Append(t.Context(), func(ledger.Checkpoint) (ledger.Change, error) {
				return ledger.Change{Tips: tips, Whole: whole}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			r := openLog(t, s, nil, verifiers, c.now)
			head, err := r.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if head.Seen() != written.Seen() || len(r.names) != 600 || head.Signer != "host0" || len(head.Tips) != 1 || string(head.Tips[0].Body) != `{"x":1}` {
				t.Fatalf("wrote %+v, read %+v with %d names", written, head, len(r.names))
			}
			if !head.Whole.Position.Equal(whole.Position) || head.Whole.Position.Mark != whole.Position.Mark || !head.Whole.Time.Equal(whole.Time) {
				t.Fatalf("whole: wrote %v, read %v", whole, head.Whole)
			}
			bundles := 0
			_ = s.List(t.Context(), "app/ledger/bundle/", func(store.Object) error { bundles++; return nil })
			if bundles != 2 {
				t.Errorf("%d bundles for 600 leaves", bundles)
			}
		})
	}
}

// counting counts calls, to show which path ran.
type counting struct {
	store.Store
	lists, opens int
}

func (c *counting) List(ctx context.Context, prefix string, visit func(store.Object) error) error {
	c.lists++
	return c.Store.List(ctx, prefix, visit)
}

func (c *counting) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	c.opens++
	return c.Store.Open(ctx, name, offset, length)
}

func TestAppendingInARowReadsNothing(t *testing.T) {
	s := &counting{Store: mem.New()}
	l, _, _ := newLog(t, s)
	addLeaves(t, l, 0, 1)
	s.lists, s.opens = 0, 0
	addLeaves(t, l, 1, 600)
	if s.lists > 0 || s.opens > 0 {
		t.Fatalf("599 appends listed %d times and read %d objects", s.lists, s.opens)
	}
}

func TestCreateOnce(t *testing.T) {
	s := mem.New()
	_, verifiers, c := newLog(t, s)
	signers, own := newSigners(t, 1)
	l := openLog(t, s, signers[0], append(own, verifiers...), c.now)
	if _, err := l.Create(t.Context(), ledger.Change{}); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v, want fs.ErrExist", err)
	}
	empty := openLog(t, mem.New(), signers[0], own, c.now)
	if _, err := empty.Head(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("head of nothing: %v", err)
	}
	if _, err := empty.Append(t.Context(), empty.names.build("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("append to nothing: %v", err)
	}
}

func TestOldCheckpointsGo(t *testing.T) {
	s := mem.New()
	l, verifiers, c := newLog(t, s)
	addLeaves(t, l, 0, 50)
	c.t = c.t.Add(11 * time.Minute)
	addLeaves(t, l, 50, 51)
	left := 0
	_ = s.List(t.Context(), "app/ledger/checkpoint/", func(store.Object) error { left++; return nil })
	if left != 2 { // the newest, and the one below it, which was the newest a moment ago
		t.Errorf("%d checkpoints are left", left)
	}
	if head, err := openLog(t, s, nil, verifiers, c.now).Head(t.Context()); err != nil || head.Size != 51 {
		t.Fatalf("head %+v, %v", head, err)
	}
}

type memory struct {
	seen ledger.Seen
	ok   bool
}

func (m *memory) Load() (ledger.Seen, bool, error) { return m.seen, m.ok, nil }
func (m *memory) Save(s ledger.Seen) error         { m.seen, m.ok = s, true; return nil }

func TestRollbackIsNoticed(t *testing.T) {
	s := mem.New()
	l, verifiers, c := newLog(t, s)
	addLeaves(t, l, 0, 300)
	old := s.Clone()
	addLeaves(t, l, 300, 320)
	seen := &memory{}
	open := func(s store.Store) error {
		r, err := ledger.Open(ledger.Config{Store: s, Prefix: "app/ledger", Origin: "app", Verifiers: verifiers, Memory: seen, Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Head(t.Context())
		return err
	}
	if err := open(s); err != nil {
		t.Fatal(err)
	}
	var rollback *ledger.RollbackError
	if err := open(old); !errors.As(err, &rollback) || rollback.Hint() == "" {
		t.Fatalf("an old copy: %v", err)
	}
	if err := open(mem.New()); !errors.As(err, &rollback) {
		t.Fatalf("an empty store: %v", err)
	}
	// A signer that is not told goes on from the old copy until its number is higher.
	signers, more := newSigners(t, 1)
	fork := openLog(t, old, signers[0], verifiers, c.now)
	addLeaves(t, fork, 1000, 1100)
	verifiers = append(verifiers, more...)
	if err := open(old); !errors.As(err, &rollback) || !strings.Contains(err.Error(), "first") {
		t.Fatalf("a log that was rewritten: %v", err)
	}
	if err := open(s); err != nil {
		t.Fatalf("the right copy: %v", err)
	}
}

func TestWhatDoesNotCount(t *testing.T) {
	newest := "app/ledger/checkpoint/000000000301" // 300 leaves and the beginning
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	for name, damage := range map[string]func(t *testing.T, s *mem.Store){
		"flipped bit in the note":   func(t *testing.T, s *mem.Store) { alter(t, s, newest, flip(20)) },
		"flipped bit in the leaves": func(t *testing.T, s *mem.Store) { alter(t, s, newest, flip(-40)) },
		"truncated":                 func(t *testing.T, s *mem.Store) { alter(t, s, newest, func(b []byte) []byte { return b[:len(b)/2] }) },
		"empty":                     func(t *testing.T, s *mem.Store) { alter(t, s, newest, func(b []byte) []byte { return nil }) },
		"replayed older one": func(t *testing.T, s *mem.Store) {
			older, err := store.ReadAll(t.Context(), s, "app/ledger/checkpoint/000000000290", 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			alter(t, s, newest, func([]byte) []byte { return older })
		},
		"signed by a stranger": func(t *testing.T, s *mem.Store) {
			signers, own := newSigners(t, 1)
			other := mem.New()
			l := openLog(t, other, signers[0], own, time.Now)
			if _, err := l.Create(t.Context(), ledger.Change{}); err != nil {
				t.Fatal(err)
			}
			addLeaves(t, l, 0, 300)
			forged, err := store.ReadAll(t.Context(), other, newest, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			alter(t, s, newest, func([]byte) []byte { return forged })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := mem.New()
			l, verifiers, c := newLog(t, s)
			addLeaves(t, l, 0, 300)
			damage(t, s)
			r := openLog(t, s, nil, verifiers, c.now)
			err := r.View(t.Context(), func(head ledger.Checkpoint, ignored []ledger.Ignored) error {
				if head.Number != 300 || len(ignored) != 1 || ignored[0].Object != newest || len(r.names) != 299 {
					t.Errorf("head %d with %d names, ignored %v", head.Number, len(r.names), ignored)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			signers, _ := newSigners(t, 1)
			w := openLog(t, s, signers[0], verifiers, c.now)
			var blocked *ledger.BlockedError
			if _, err := w.Append(t.Context(), w.names.build("x")); !errors.As(err, &blocked) {
				t.Errorf("append on top: %v", err)
			}
		})
	}
}

// TestOnlyStrangersArePassedOver puts checkpoints of others above the newest one, and damaged ones of ours, and asks to go on above them.
func TestOnlyStrangersArePassedOver(t *testing.T) {
	name := func(n int) string { return fmt.Sprintf("app/ledger/checkpoint/%012d", n) }
	for what, c := range map[string]struct {
		harm   func(t *testing.T, s *mem.Store, stranger *ledger.Log)
		passed bool
	}{
		"one of a stranger": {func(t *testing.T, _ *mem.Store, stranger *ledger.Log) { addTo(t, stranger, 1) }, true},
		"several":           {func(t *testing.T, _ *mem.Store, stranger *ledger.Log) { addTo(t, stranger, 4) }, true},
		"ours, flipped": {func(t *testing.T, s *mem.Store, _ *ledger.Log) {
			alter(t, s, name(5), func(b []byte) []byte { b[30] ^= 1; return b })
		}, false},
		"ours, with another name": {func(t *testing.T, s *mem.Store, _ *ledger.Log) {
			alter(t, s, name(5), func(b []byte) []byte { return bytes.Replace(b, []byte("\n— host0 "), []byte("\n— hosz0 "), 1) })
		}, false},
		"a stranger's, cut": {func(t *testing.T, s *mem.Store, stranger *ledger.Log) {
			addTo(t, stranger, 1)
			alter(t, s, name(6), func(b []byte) []byte { return b[:len(b)/2] })
		}, false},
		"a copy of a stranger's, far above": {func(t *testing.T, s *mem.Store, stranger *ledger.Log) {
			addTo(t, stranger, 1)
			b, err := store.ReadAll(t.Context(), s, name(6), 1<<20)
			if err == nil {
				err = s.Put(t.Context(), name(999999999999), bytes.NewReader(b), int64(len(b)))
			}
			if err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(what, func(t *testing.T) {
			s := mem.New()
			signers, verifiers := newSigners(t, 1)
			own := openLog(t, s, signers[0], verifiers, time.Now)
			if _, err := own.Create(t.Context(), ledger.Change{}); err != nil {
				t.Fatal(err)
			}
			addTo(t, own.Log, 4)
			forger, err := ledger.NewSigner("host0") // the name is free to choose
			if err != nil {
				t.Fatal(err)
			}
			stranger := openLog(t, s, forger, verifiers, time.Now)
			c.harm(t, s, stranger.Log)
			w := openLog(t, s, signers[0], verifiers, time.Now)
			var blocked *ledger.BlockedError
			if _, err := w.Append(t.Context(), w.names.build("x")); !errors.As(err, &blocked) {
				t.Fatalf("append without asking: %v", err)
			}
			if _, err := w.PassOver(t.Context(), []string{forger.Verifier()}); !errors.As(err, &blocked) {
				t.Errorf("one that may have a right to: %v", err)
			}
			passed, err := w.PassOver(t.Context(), nil)
			if (err == nil) != c.passed || err != nil && !errors.As(err, &blocked) {
				t.Fatalf("passed %v, %v", passed, err)
			}
			if !c.passed {
				return
			}
			if _, err := w.Append(t.Context(), w.names.build("x")); err != nil {
				t.Fatal(err)
			}
			r := openLog(t, s, nil, verifiers, time.Now)
			head, err := r.Head(t.Context())
			if err != nil || head.Size != 5 || len(r.names) != 5 {
				t.Errorf("head %+v, %d names, %v", head, len(r.names), err)
			}
		})
	}
}

// addTo appends n leaves.
func addTo(t *testing.T, l *ledger.Log, n int) {
	t.Helper()
	for i := range n {
		leaf := ledger.Leaf{Kind: "segment", Name: fmt.Sprintf("leaf%d", i), Size: 1, SHA256: "00"}
		if _, err := l.Append(t.Context(), func(ledger.Checkpoint) (ledger.Change, error) { return ledger.Change{Leaves: []ledger.Leaf{leaf}}, nil }); err != nil {
			t.Fatal(err)
		}
	}
}

func alter(t *testing.T, s *mem.Store, name string, change func([]byte) []byte) {
	t.Helper()
	if err := s.Alter(name, change); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedBundleIsNoticed(t *testing.T) {
	bundle := "app/ledger/bundle/000001"
	for name, damage := range map[string]func(t *testing.T, s *mem.Store){
		"flipped": func(t *testing.T, s *mem.Store) {
			alter(t, s, bundle, func(b []byte) []byte { return bytes.Replace(b, []byte("leaf300"), []byte("leaf301"), 1) })
		},
		"truncated": func(t *testing.T, s *mem.Store) { alter(t, s, bundle, func(b []byte) []byte { return b[:len(b)-9] }) },
		"missing": func(t *testing.T, s *mem.Store) {
			if err := s.Delete(t.Context(), bundle); err != nil {
				t.Fatal(err)
			}
		},
		"swapped": func(t *testing.T, s *mem.Store) {
			other, err := store.ReadAll(t.Context(), s, "app/ledger/bundle/000000", 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			alter(t, s, bundle, func([]byte) []byte { return other })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := mem.New()
			l, verifiers, c := newLog(t, s)
			addLeaves(t, l, 0, 600)
			damage(t, s)
			var corrupt *ledger.CorruptError
			if _, err := openLog(t, s, nil, verifiers, c.now).Head(t.Context()); !errors.As(err, &corrupt) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestProofStandsAlone(t *testing.T) {
	s := mem.New()
	l, verifiers, _ := newLog(t, s)
	addLeaves(t, l, 0, 300)
	p, err := l.Prove(t.Context(), 123)
	if err != nil {
		t.Fatal(err)
	}
	leaf, c, err := p.Verify(verifiers)
	if err != nil || leaf.Name != "leaf123" || c.Size != 300 {
		t.Fatalf("leaf %+v under %+v: %v", leaf, c, err)
	}
	p.Leaf = strings.Replace(p.Leaf, "leaf123", "leaf124", 1)
	if _, _, err := p.Verify(verifiers); err == nil {
		t.Fatal("an altered leaf passes")
	}
	if _, err := l.Prove(t.Context(), 300); err == nil {
		t.Fatal("a leaf that is not there was proved")
	}
}

func TestSignerFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signer")
	a, err := ledger.OpenSigner(path, "host")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	b, err := ledger.OpenSigner(path, "other")
	if err != nil || a.Verifier() != b.Verifier() || b.Name() != "host" {
		t.Fatalf("loaded %v, %v", b, err)
	}
	signed, err := b.Sign("text\n")
	if err != nil {
		t.Fatal(err)
	}
	if text, name, err := ledger.VerifyNote(signed, []string{a.Verifier()}); err != nil || text != "text\n" || name != "host" {
		t.Fatalf("%q %q %v", text, name, err)
	}
	if err := os.WriteFile(path, []byte("PRIVATE+KEY+secret\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.OpenSigner(path, "host"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Fatalf("a spoilt file: %v", err)
	}
	if _, err := ledger.NewSigner("a b"); err == nil {
		t.Fatal("a name with a blank was taken")
	}
}

// TestDamagedCopyOfOldLeaves damages leaves that a Log has read before, in a newer checkpoint that has no new ones.
func TestDamagedCopyOfOldLeaves(t *testing.T) {
	s := mem.New()
	l, verifiers, c := newLog(t, s)
	addLeaves(t, l, 0, 5)
	r := openLog(t, s, nil, verifiers, c.now)
	if _, err := r.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	newest, err := l.Append(t.Context(), func(ledger.Checkpoint) (ledger.Change, error) {
		return ledger.Change{Whole: history.Moment{Time: c.now()}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("app/ledger/checkpoint/%012d", newest.Number)
	alter(t, s, name, func(b []byte) []byte { return bytes.Replace(b, []byte("leaf3"), []byte("leaf4"), 1) })
	err = r.View(t.Context(), func(head ledger.Checkpoint, ignored []ledger.Ignored) error {
		if head.Number != newest.Number-1 || len(ignored) != 1 || ignored[0].Object != name {
			t.Errorf("head %d, ignored %v", head.Number, ignored)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// forgetful stores and then says that the name was taken, as a store does that tried again by itself.
type forgetful struct{ store.Store }

func (f forgetful) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := f.Store.Put(ctx, name, r, size); err != nil {
		return err
	}
	return fmt.Errorf("put %s: %w", name, fs.ErrExist)
}

func TestOwnCheckpointIsRecognised(t *testing.T) {
	s := mem.New()
	_, verifiers, c := newLog(t, s)
	signers, more := newSigners(t, 1)
	l := openLog(t, forgetful{s}, signers[0], append(verifiers, more...), c.now)
	built := 0
	head, err := l.Append(t.Context(), func(ledger.Checkpoint) (ledger.Change, error) {
		built++
		return ledger.Change{Leaves: []ledger.Leaf{{Kind: "note", Name: "once"}}}, nil
	})
	if err != nil || built != 1 || head.Size != 1 {
		t.Fatalf("built %d times, head %+v, %v", built, head, err)
	}
}
