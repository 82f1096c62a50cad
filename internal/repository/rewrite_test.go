package repository_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/fault"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// leaver is a repository of two bases and three segments that bob could read, who is no reader any more; what comes since is sealed
// to another identity.
type leaver struct {
	*world
	bob *age.X25519Identity
}

func newLeaver(t *testing.T, s store.Store) *leaver {
	t.Helper()
	l := &leaver{world: newWorld(t, s), bob: newIdentity(t)}
	r := l.writer(t, s)
	if err := r.AddReader(t.Context(), repository.Reader{Name: "bob", Recipient: l.bob.Recipient().String()}); err != nil {
		t.Fatal(err)
	}
	l.takeBase(t)
	l.appendSegment(t, 2, 100)
	l.appendSegment(t, 3, 600_000)
	l.takeBase(t)
	l.appendSegment(t, 1, 100)
	if err := errors.Join(r.RemoveReader(t.Context(), "bob"), r.Rotate(t.Context())); err != nil {
		t.Fatal(err)
	}
	facts(t, l.repo) // hears of the new identity
	l.appendSegment(t, 1, 100)
	return l
}

// writer opens a store with anna's key, to change it.
func (l *leaver) writer(t *testing.T, s store.Store) *repository.Repository {
	t.Helper()
	w := *l.world
	w.store = s
	return w.open(t, func(o *repository.Options) { o.Signer, o.Trusted = l.signer, []string{l.signer.Verifier()} })
}

// opens lists the objects that bob's copy of the old identities opens.
func (l *leaver) opens(t *testing.T, s store.Store) (names []string) {
	t.Helper()
	var k struct {
		Wrapped []byte `json:"wrapped"`
	}
	if err := json.Unmarshal(bytes.SplitN(read(t, s, "app/key/000002"), []byte("\n"), 2)[0], &k); err != nil {
		t.Fatal(err)
	}
	plain, err := age.Decrypt(bytes.NewReader(k.Wrapped), l.bob)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := age.ParseIdentities(plain)
	if err != nil {
		t.Fatal(err)
	}
	err = s.List(t.Context(), "app/", func(o store.Object) error {
		sealed := read(t, s, o.Name)
		if strings.HasSuffix(o.Name, "/manifest") {
			var m struct {
				Sealed []byte `json:"sealed"`
			}
			if err := json.Unmarshal(sealed, &m); err != nil {
				return err
			}
			sealed = m.Sealed
		}
		if r, err := age.Decrypt(bytes.NewReader(sealed), ids...); err == nil {
			if _, err := io.Copy(io.Discard, r); err != nil {
				return err
			}
			names = append(names, o.Name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t *testing.T, s store.Store, name string) []byte {
	t.Helper()
	b, err := store.ReadAll(t.Context(), s, name, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// intact demands that all moments can be recovered, that what is recovered is what was put in, and that nothing is damaged.
func (l *leaver) intact(t *testing.T, s store.Store, what string) {
	t.Helper()
	w := *l.world
	w.store = s
	r := w.open(t, nil)
	h := facts(t, r).History
	if len(h.Bases) != 2 || segmentNames(h) != "0-2 2-5 5-6 6-7" || len(h.Windows()) != 1 {
		t.Fatalf("%s: %d bases, segments %s, windows %v", what, len(h.Bases), segmentNames(h), h.Windows())
	}
	for _, seq := range []uint64{0, 4, 7} {
		chain, err := h.Chain(history.Target{Kind: history.AtPosition, Position: history.At(1, seq)})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		b, err := r.OpenBase(t.Context(), chain.Base.ID)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if v, err := b.Verify(t.Context(), nil); err != nil || len(v.Damage) > 0 {
			t.Fatalf("%s: %v, %v", what, v.Damage, err)
		}
		log := r.OpenLog(chain.Segments)
		for i, seg := range chain.Segments {
			size := 100
			if seg.From.Seq == 2 {
				size = 600_000
			}
			if err := readOne(t.Context(), log, i, logFile(seg.From.Seq+1, size)); err != nil {
				t.Fatalf("%s: %s: %v", what, seg.Name, err)
			}
		}
	}
	report, err := r.Check(t.Context(), repository.CheckOptions{Deep: true})
	// A log object that was put and not listed is nobody's, and waits for a Sweep.
	damage := slices.DeleteFunc(report.Damage, func(d repository.Damage) bool { return d.Kind == repository.Unlisted })
	if err != nil || len(damage) > 0 {
		t.Fatalf("%s: damage %v, %v", what, damage, err)
	}
}

func TestRewriteLeavesNothingToAWithdrawnKey(t *testing.T) {
	onEveryStore(t, func(t *testing.T, s store.Store) {
		l := newLeaver(t, s)
		r := l.writer(t, s)
		withdrawn, err := r.Withdrawn(t.Context())
		if err != nil || len(withdrawn) != 1 {
			t.Fatalf("%+v, %v", withdrawn, err)
		}
		if w := withdrawn[0]; w.Name != "bob" || !w.Rotated || len(w.Bases) != 2 || w.Objects != 5 || w.Bytes == 0 || w.Newest.IsZero() {
			t.Errorf("%+v", w)
		}
		if n := len(l.opens(t, s)); n < 5 {
			t.Fatalf("bob opens %d objects before", n)
		}
		done, err := r.Rewrite(t.Context(), nil, nil)
		if err != nil || len(done.Dropped) != 5 || len(done.Left) != 0 {
			t.Errorf("%+v, %v", done, err)
		}
		if names := l.opens(t, s); len(names) != 0 {
			t.Errorf("bob still opens %q", names)
		}
		l.intact(t, s, "rewritten")
		if withdrawn, err = r.Withdrawn(t.Context()); err != nil || len(withdrawn) != 0 {
			t.Errorf("%+v, %v", withdrawn, err)
		}
		if again, err := r.Rewrite(t.Context(), nil, nil); err != nil || len(again.Dropped) != 0 {
			t.Errorf("again: %+v, %v", again, err)
		}
	})
}

// TestRewriteMayBreakOffAnywhere fails each call to the store in turn, before or after it had its effect: what there is is
// whole at once, and a second run ends well.
func TestRewriteMayBreakOffAnywhere(t *testing.T) {
	step, least := 4, 8
	switch {
	case testing.Short():
		step, least = 19, 3
	case os.Getenv("BACKSTAY_SOAK") != "":
		step, least = 1, 30
	}
	for name, effect := range map[string]fault.Effect{"before": fault.Fail(nil), "after": fault.FailAfter(nil)} {
		t.Run(name, func(t *testing.T) {
			failed := 0
			for n := 1 + rand.IntN(step); ; n += step { // every call has its turn, if not in each run
				s := mem.New()
				l := newLeaver(t, s)
				plan := fault.NewPlan(fault.Rule{Nth: n, Times: fault.Always, Effect: effect})
				what := fmt.Sprintf("from call %d on all failed", n)
				if _, err := l.rewrite(t, fault.Wrap(s, plan)); err == nil {
					break
				}
				failed++
				l.whole(t, s, what)
				if _, err := l.rewrite(t, s); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				l.intact(t, s, what)
				// What the broken run put and did not list waits for a Sweep.
				l.now = l.now.Add(48 * time.Hour)
				if left := listedOnly(t, l, s, l.opens(t, s)); len(left) != 0 {
					t.Fatalf("%s: bob still opens %q", what, left)
				}
			}
			if failed < least {
				t.Errorf("only %d runs broke off", failed)
			}
		})
	}
}

// rewrite is what a process does that starts anew.
func (l *leaver) rewrite(t *testing.T, s store.Store) (repository.Rewritten, error) {
	r, err := repository.Open(t.Context(), s, repository.Options{Source: "app", Identities: []age.Identity{l.reader}, Signer: l.signer,
		Trusted: []string{l.signer.Verifier()}, Now: l.clock})
	if err != nil {
		return repository.Rewritten{}, err
	}
	return r.Rewrite(t.Context(), nil, nil)
}

// whole demands that every moment can be recovered, whatever else there is.
func (l *leaver) whole(t *testing.T, s store.Store, what string) {
	t.Helper()
	w := *l.world
	w.store = s
	r := w.open(t, nil)
	windows := facts(t, r).History.Windows()
	if len(windows) != 1 || windows[0].End.Seq != 7 {
		t.Fatalf("%s: windows %v", what, windows)
	}
	report, err := r.Check(t.Context(), repository.CheckOptions{Deep: true})
	for _, d := range report.Damage {
		if d.Kind != repository.Unlisted {
			t.Fatalf("%s: damage %v", what, d)
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// listedOnly leaves of names in the store those that count.
func listedOnly(t *testing.T, l *leaver, s store.Store, names []string) (counts []string) {
	t.Helper()
	w := *l.world
	w.store = s
	listed := map[string]bool{}
	for _, o := range facts(t, w.open(t, nil)).Objects {
		listed[strings.TrimSuffix("app/"+o.Name, "manifest")] = true
	}
	for _, name := range names {
		if listed[name] || listed[name[:strings.LastIndexByte(name, '/')+1]] {
			counts = append(counts, name)
		}
	}
	return counts
}

// TestRewriteKeepsRepositoriesEqual: the second one gets the objects of the first, byte for byte.
func TestRewriteKeepsRepositoriesEqual(t *testing.T) {
	ctx := t.Context()
	a, b := mem.New(), mem.New()
	l := newLeaver(t, a)
	first := l.writer(t, a)
	if _, err := repository.Create(ctx, b, repository.CreateOptions{Source: "app", Engine: "sqlite", KeyObject: first.KeyObject(), Signer: l.signer, Now: l.clock}); err != nil {
		t.Fatal(err)
	}
	second := l.writer(t, b)
	for _, base := range facts(t, first).History.Bases {
		if err := second.CopyBase(ctx, first, base.ID, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range facts(t, first).History.Segments {
		if err := second.CopySegment(ctx, first, s); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range []*repository.Repository{first, second} {
		if done, err := r.Rewrite(ctx, []*repository.Repository{first, second}[1-i:2-i], nil); err != nil || len(done.Dropped) != 5 {
			t.Fatalf("repository %d: %+v, %v", i+1, done, err)
		}
	}
	l.intact(t, b, "the second")
	inBoth := map[string]string{}
	for _, o := range facts(t, first).Objects {
		inBoth[o.Name] = o.SHA256
	}
	for _, o := range facts(t, second).Objects {
		if o.Kind != repository.Key && inBoth[o.Name] != o.SHA256 {
			t.Errorf("%s is not the same in both", o.Name)
		}
	}
}

// TestRewriteLeavesWhatIsRead, and takes it when nobody reads it any more.
func TestRewriteLeavesWhatIsRead(t *testing.T) {
	s := mem.New()
	l := newLeaver(t, s)
	reader := l.writer(t, s)
	base := facts(t, reader).History.Bases[0]
	release, err := reader.Hold(t.Context(), history.Chain{Base: base}, "restore")
	if err != nil {
		t.Fatal(err)
	}
	done, err := l.rewrite(t, s)
	if err != nil || len(done.Dropped) != 4 || len(done.Left) != 1 || done.Left[0].Name != "base/"+base.ID || !strings.Contains(done.Left[0].Why, "restore") {
		t.Errorf("%+v, %v", done, err)
	}
	release()
	if done, err = l.rewrite(t, s); err != nil || len(done.Dropped) != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	l.intact(t, s, "in the end")
}

// TestRewriteLeavesDamage: what is not as it is listed is no source of a copy.
func TestRewriteLeavesDamage(t *testing.T) {
	s := mem.New()
	l := newLeaver(t, s)
	var name string
	for _, seg := range facts(t, l.repo).History.Segments {
		if seg.From.Seq == 2 {
			name = "app/" + seg.Name
		}
	}
	data := read(t, s, name)
	data[len(data)-100] ^= 1
	if err := errors.Join(s.Delete(t.Context(), name), s.Put(t.Context(), name, bytes.NewReader(data), int64(len(data)))); err != nil {
		t.Fatal(err)
	}
	done, err := l.rewrite(t, s)
	if err != nil || len(done.Dropped) != 4 || len(done.Left) != 1 || "app/"+done.Left[0].Name != name {
		t.Errorf("%+v, %v", done, err)
	}
}
