package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/archive"
	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store/fault"
	"github.com/backstaydb/backstay/internal/watch"
)

// kept is a host with a source in two repositories that hold the same bases, and a daemon that runs nothing.
type kept struct {
	host  *Host
	d     *daemon
	now   time.Time
	local *repository.Repository
	far   *repository.Repository
	bases []string
}

func newKept(t *testing.T, bases int) *kept {
	t.Helper()
	dir := t.TempDir()
	k := &kept{now: time.Now().UTC().Truncate(time.Microsecond)} // as the catalog keeps it
	k.host = NewHost(&config.Config{
		Path:         filepath.Join(dir, config.Name),
		Repositories: map[string]config.Repository{"local": {Store: "./local"}, "far": {Store: "./far"}, "archive": {Store: "./archive"}},
		Sources:      map[string]config.Source{"app": {URL: "sqlite:./app.db", Promise: config.Promise{Repositories: []string{"local", "far"}}}},
	}, slog.New(slog.DiscardHandler))
	k.host.Now = func() time.Time { return k.now }
	w, err := k.host.newWriters(t.Context(), "app", "sqlite", "id")
	if err != nil {
		t.Fatal(err)
	}
	if k.local, err = w.get(t.Context(), "local"); err != nil {
		t.Fatal(err)
	}
	if k.far, err = w.get(t.Context(), "far"); err != nil {
		t.Fatal(err)
	}
	for i := range bases {
		k.bases = append(k.bases, k.base(t, i))
		k.now = k.now.Add(time.Hour)
	}
	c, err := k.host.openCatalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), w.close()); err != nil {
			t.Error(err)
		}
	})
	k.d = &daemon{catalog: c}
	k.d.now.Store(k.host)
	k.d.fleet.add(&protected{name: "app", archive: new(archive.Archive), config: k.host.Config.Sources["app"], writers: w})
	return k
}

// base puts a base of one file into both repositories.
func (k *kept) base(t *testing.T, n int) string {
	t.Helper()
	w, err := k.local.NewBase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte{byte(n)}, 10_000)
	if err := w.Put(t.Context(), engine.File{Name: "app.db", Mode: 0o600, Size: int64(len(data)), ModTime: k.now}, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	at := history.At(1, uint64(n+1))
	b, err := w.Commit(t.Context(), history.Base{Type: history.Full, Start: at, Stop: at, StartTime: k.now, StopTime: k.now})
	if err == nil {
		err = k.far.CopyBase(t.Context(), k.local, b.ID, nil)
	}
	gap := history.Gap{From: history.At(1, uint64(n)), To: at, Since: k.now.Add(-time.Hour), Until: k.now, Reason: "nobody followed the log"}
	for _, r := range []*repository.Repository{k.local, k.far} {
		if err == nil && n > 0 {
			err = r.RecordGap(t.Context(), gap)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.ID
}

func (k *kept) check(t *testing.T, ctx context.Context, c watch.Check) (repository.CheckReport, error) {
	t.Helper()
	return hands{k.d}.Check(ctx, "app", "far", c)
}

func (k *kept) ages(t *testing.T) (shallow, deep time.Time) {
	t.Helper()
	shallow, deep, err := (&eyes{d: k.d}).Ages(t.Context(), "app", "far")
	if err != nil {
		t.Fatal(err)
	}
	return shallow, deep
}

// damage changes a byte in a pack of a base of the repository far.
func (k *kept) damage(t *testing.T, base string) {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(k.host.Config.Dir(), "far", "app", "base", base, "pack-*"))
	if err != nil || len(packs) == 0 {
		t.Fatalf("packs %v, %v", packs, err)
	}
	b, err := os.ReadFile(packs[0])
	if err == nil {
		b[len(b)/2] ^= 1
		err = errors.Join(os.Chmod(packs[0], 0o600), os.WriteFile(packs[0], b, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestARoundGoesOnWhereItWasLeft(t *testing.T) {
	for _, deep := range []bool{false, true} {
		t.Run(fmt.Sprintf("deep %t", deep), func(t *testing.T) {
			k := newKept(t, 6)
			k.now = k.now.Add(30 * 24 * time.Hour)
			begun := k.now
			c := watch.Check{Deep: deep, Begun: begun, Until: begun} // one object each time
			whole, err := k.far.Facts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for left := len(whole.Objects) - 1; left >= 0; left-- {
				if shallow, _ := k.ages(t); left < len(whole.Objects)-1 && !shallow.Before(begun) {
					t.Fatalf("%d are left, and the oldest was read %s", left+1, shallow)
				}
				k.now = k.now.Add(time.Minute)
				r, err := k.check(t, t.Context(), c)
				if err != nil || r.Left != left || len(r.Damage) != 0 {
					t.Fatalf("%d left, want %d; damage %v, %v", r.Left, left, r.Damage, err)
				}
			}
			shallow, deepest := k.ages(t)
			if shallow.Before(begun) || deepest.Before(begun) != !deep {
				t.Errorf("after the round the oldest was read %s, decrypted %s, begun %s", shallow, deepest, begun)
			}
			c.Until = k.now.Add(time.Hour)
			if r, err := k.check(t, t.Context(), c); err != nil || r.Objects != 0 {
				t.Errorf("%d objects were read twice in one round, %v", r.Objects, err)
			}
		})
	}
}

// TestARoundThatBreaksOffKeepsWhatItRead has the store fail in the middle, as a kill would end it.
func TestARoundThatBreaksOffKeepsWhatItRead(t *testing.T) {
	k := newKept(t, 4)
	begun := k.now.Add(24 * time.Hour)
	k.now = begun.Add(time.Minute)
	plan := fault.NewPlan(fault.Rule{Op: fault.Open, Name: "app/base/" + k.bases[2] + "/pack-*", Effect: fault.Fail(nil)})
	repo, err := repository.Open(t.Context(), fault.Wrap(k.far.Store(), plan), repository.Options{Source: "app", Trusted: k.far.Verifiers(), Now: k.host.Now})
	if err != nil {
		t.Fatal(err)
	}
	ref := catalog.Ref{Source: "app", Repository: "far"}
	r := &round{catalog: k.d.catalog, ref: ref, repo: repo, check: watch.Check{Begun: begun, Until: begun.Add(time.Hour)}, log: k.host.Log, now: k.host.Now}
	if _, err := r.run(t.Context()); !errors.Is(err, fault.ErrInjected) {
		t.Fatalf("it did not break off: %v", err)
	}
	due, err := k.d.catalog.Due(t.Context(), ref, catalog.Due{Before: begun})
	if err != nil || len(due) == 0 || len(due) > 4 || slices.ContainsFunc(due, func(a catalog.Aged) bool { return a.Name == "base/"+k.bases[1]+"/manifest" }) {
		t.Errorf("%v of 6 objects are to be read after it broke off, %v", due, err)
	}
}

func TestDamageIsReadOnceInARoundAndAgainWhenItIsMended(t *testing.T) {
	k := newKept(t, 3)
	k.damage(t, k.bases[1])
	k.now = k.now.Add(24 * time.Hour)
	c := watch.Check{Deep: true, Begun: k.now, Until: k.now.Add(time.Hour)}
	first, err := k.check(t, t.Context(), c)
	if err != nil || len(first.Damage) == 0 || first.Left != 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := k.check(t, t.Context(), c); err != nil || again.Objects != 0 {
		t.Errorf("damage was read %d times in one round, %v", again.Objects, err)
	}
	k.now = k.now.Add(time.Minute)
	r, err := hands{k.d}.Repair(t.Context(), "app", "far", first.Damage)
	if err != nil || len(r.Objects) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	again, err := k.check(t, t.Context(), c)
	if err != nil || again.Objects == 0 || len(again.Damage) != 0 {
		t.Errorf("what was mended was not decrypted again: %+v, %v", again, err)
	}
	if _, deep := k.ages(t); deep.Before(c.Begun) {
		t.Errorf("the oldest was decrypted %s, begun %s", deep, c.Begun)
	}
}

func TestALostCatalogIsMadeAnew(t *testing.T) {
	k := newKept(t, 3)
	k.d.rebuild(t.Context())
	ref := catalog.Ref{Source: "app", Repository: "local"}
	bases, err := k.d.catalog.Bases(t.Context(), ref)
	if err != nil || len(bases) != 3 || !slices.Contains(k.bases, bases[0].ID) {
		t.Errorf("bases %v, %v", bases, err)
	}
	if shallow, _ := k.ages(t); shallow.IsZero() {
		t.Error("nobody knows how old what is listed is")
	}
}

// TestARewriteForgetsFingerprints has one that an older identity opens in each repository.
func TestARewriteForgetsFingerprints(t *testing.T) {
	k := newKept(t, 2)
	for _, r := range []*repository.Repository{k.local, k.far} {
		sealed, err := r.SealNote([]byte("public.orders has 12 rows"))
		if err == nil {
			err = errors.Join(r.PutReport(t.Context(), "20261121T100000.000Z"+fingerprintSuffix, sealed), r.PutReport(t.Context(), "20261121T100000.000Z", []byte("a drill")))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.host.Rewrite(t.Context(), "app", "", nil); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*repository.Repository{k.local, k.far} {
		f, err := r.Facts(t.Context())
		if err != nil || len(f.Reports) != 1 || len(f.History.Bases) != 2 {
			t.Errorf("%v, %d bases, %v", f.Reports, len(f.History.Bases), err)
		}
	}
}
