package catalog_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
)

func TestSyncFollowsTheLedger(t *testing.T) {
	c, _ := open(t)
	f := facts(100)
	sync(t, c, f)
	check(t, c, f)
	sync(t, c, f)
	check(t, c, f)
	f = facts(150) // grows
	sync(t, c, f)
	check(t, c, f)
	f = without(f, 10, 60) // forgets
	sync(t, c, f)
	check(t, c, f)
	old := facts(120) // an older view, of another process
	sync(t, c, old)
	check(t, c, f)
	h := holding(t, c)
	if h.Engine != "sqlite" || h.Bases != 1 || h.Segments != 100 || h.LastBase.ID != "b1" || !h.Whole.Position.Equal(history.At(1, 150)) || !h.GoodSince.Equal(start) {
		t.Errorf("%+v", h)
	}
	if bases, err := c.Bases(t.Context(), ref); err != nil || len(bases) != 1 || bases[0] != f.History.Bases[0] {
		t.Errorf("bases: %+v, %v", bases, err)
	}
	// Grows and forgets at once, by as many.
	f = without(facts(200), 10, 90)
	sync(t, c, f)
	check(t, c, f)
	if err := c.Forget(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Summary(t.Context()); err != nil || len(s.Holdings) > 0 || len(due(t, c, catalog.Due{})) > 0 {
		t.Errorf("forgotten: %+v, %v", s, err)
	}
}

// TestSyncsTakeTurns: the one that makes the catalog anew and the one of who looks at the repository meanwhile.
func TestSyncsTakeTurns(t *testing.T) {
	c, _ := open(t)
	var g errgroup.Group
	for _, n := range []int{40_000, 40_000, 40_100} {
		g.Go(func() error { return c.Sync(t.Context(), ref, facts(n)) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	check(t, c, facts(40_100))
}

// TestSyncSeesAnotherRepository: one that was made anew in the place of the old has the same leaves with other objects.
func TestSyncSeesAnotherRepository(t *testing.T) {
	c, _ := open(t)
	sync(t, c, facts(100))
	f := facts(120)
	f.Objects[1].SHA256 = "another"
	f.Objects[5].Name = "log/1/other"
	sync(t, c, f)
	check(t, c, f)
	if !slices.ContainsFunc(due(t, c, catalog.Due{}), func(a catalog.Aged) bool { return a.Name == "log/1/other" }) {
		t.Error("objects of the repository before stand")
	}
	f = facts(30) // and one that is smaller
	f.Objects[1].SHA256, f.Head.Time = "third", start.Add(300*time.Minute)
	sync(t, c, f)
	check(t, c, f)
}

// TestTipsAreNotKept: they are gone before anybody could check them.
func TestTipsAreNotKept(t *testing.T) {
	c, _ := open(t)
	f := facts(3)
	f.Objects = append(f.Objects, repository.Object{Name: "tip/1/x", Kind: repository.Tip, Leaf: -1})
	f.History.Segments = append(f.History.Segments, history.Segment{Name: "tip/1/x", Tip: true})
	sync(t, c, f)
	check(t, c, f)
	if h := holding(t, c); h.Tips != 1 || h.Segments != 3 {
		t.Errorf("%+v", h)
	}
}

func TestRollingChecks(t *testing.T) {
	c, _ := open(t)
	f := facts(50)
	sync(t, c, f)
	// Oldest first, within a budget, and one object at least.
	if got := due(t, c, catalog.Due{Before: start.Add(10 * time.Minute)}); len(got) != 10 || !got[0].Good.Equal(start) || !got[0].Read.IsZero() {
		t.Fatalf("%+v", got)
	}
	if got := due(t, c, catalog.Due{Limit: 5}); len(got) != 5 {
		t.Errorf("%d for a limit of 5", len(got))
	}
	if got := due(t, c, catalog.Due{Bytes: 2500}); len(got) < 2 || len(got) > 4 {
		t.Errorf("%d within 2,500 bytes", len(got))
	}
	if got := due(t, c, catalog.Due{Bytes: 1}); len(got) != 1 {
		t.Errorf("%d within a byte", len(got))
	}
	// Round and round: each is read once before one is read again.
	read := map[int64]int{}
	now := start.Add(time.Hour)
	for range 13 {
		now = now.Add(time.Minute)
		list := due(t, c, catalog.Due{Limit: 4})
		k := catalog.Check{Time: now}
		for _, a := range list {
			read[a.Leaf]++
			k.Objects = append(k.Objects, a.Object)
		}
		if err := c.Checked(t.Context(), ref, k); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range f.Objects {
		if read[o.Leaf] != 1 {
			t.Errorf("leaf %d was read %d times", o.Leaf, read[o.Leaf])
		}
	}
	h := holding(t, c)
	if !h.GoodSince.Equal(start.Add(61*time.Minute)) || !h.DeepSince.Equal(start) {
		t.Errorf("good since %v, deep %v", h.GoodSince, h.DeepSince)
	}
}

func TestCheckOfAllAndDamage(t *testing.T) {
	c, _ := open(t)
	f := facts(40)
	sync(t, c, f)
	now := start.Add(30 * time.Minute) // what was written since is not part of it
	bad := []catalog.Damage{{Object: repository.Object{Leaf: 7}, Detail: "digest"}, {Object: repository.Object{Leaf: 9}}}
	if err := c.Checked(t.Context(), ref, catalog.Check{Time: now, All: true, Deep: true, Damaged: bad}); err != nil {
		t.Fatal(err)
	}
	damaged, err := c.Damaged(t.Context(), ref)
	if err != nil || !slices.Equal(leaves(damaged), []int64{7, 9}) || damaged[0].Damage != "digest" || !damaged[0].Read.Equal(now) || damaged[0].Good.After(start.Add(10*time.Minute)) {
		t.Fatalf("%+v, %v", damaged, err)
	}
	if h := holding(t, c); h.Damaged != 2 || !h.GoodSince.Equal(damaged[0].Good) {
		t.Errorf("%d damaged, good since %v", h.Damaged, h.GoodSince)
	}
	if got := due(t, c, catalog.Due{Deep: true, Before: now}); !slices.Equal(leaves(got), []int64{7, 9}) {
		t.Errorf("due for a deep check: %v", leaves(got))
	}
	if got := due(t, c, catalog.Due{Before: now.Add(1)}); len(got) != 2+30 {
		t.Logf("%d were good before the check", len(got))
	}
	// Repaired, and read again; what was said before does not come back late.
	later := now.Add(time.Hour)
	k := catalog.Check{Time: later, Objects: []repository.Object{{Leaf: 7}, {Leaf: 9}}}
	if err := errors.Join(c.Checked(t.Context(), ref, k), c.Checked(t.Context(), ref, catalog.Check{Time: now, Damaged: bad})); err != nil {
		t.Fatal(err)
	}
	if h := holding(t, c); h.Damaged != 0 {
		t.Errorf("%d are damaged after the repair", h.Damaged)
	}
	// A sync keeps what is known.
	sync(t, c, facts(45))
	if got := due(t, c, catalog.Due{Before: now}); len(got) != 0 {
		t.Errorf("%d are due again after a sync", len(got))
	}
}
