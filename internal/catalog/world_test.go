package catalog_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
)

var (
	start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	ref   = catalog.Ref{Source: "app", Repository: "local"}
)

func open(t testing.TB) (*catalog.Catalog, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	c, err := catalog.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, path
}

// facts are those of a source with a key, one base and n segments of a minute each, all in a row of leaves.
func facts(n int) repository.Facts {
	f := repository.Facts{
		Head:        ledger.Checkpoint{Number: uint64(n) + 2, Size: int64(n) + 2, Time: start.Add(time.Duration(n) * time.Minute)},
		History:     history.History{Source: "app", Engine: "sqlite", Segments: make([]history.Segment, 0, n)},
		Objects:     make([]repository.Object, 0, n+2),
		StoredBytes: int64(n)*1000 + 5,
	}
	f.Head.Whole = history.Moment{Position: history.At(1, uint64(n)), Time: f.Head.Time}
	f.Objects = append(f.Objects, repository.Object{Name: "base/b1/manifest", Kind: repository.Base, Size: 100, SHA256: "b1", Leaf: 1},
		repository.Object{Name: "key/000001", Kind: repository.Key, Size: 10, SHA256: "origin", Leaf: 0})
	f.History.Bases = []history.Base{{ID: "b1", Type: history.Full, Stop: history.At(1, 0), StopTime: start, StoredBytes: 5}}
	for i := range n {
		s := history.Segment{Name: fmt.Sprintf("log/1/%020d-%020d-0123456789ab", i, i+1), From: history.At(1, uint64(i)), To: history.At(1, uint64(i+1)),
			Since: start.Add(time.Duration(i) * time.Minute), Until: start.Add(time.Duration(i+1) * time.Minute), StoredBytes: 1000}
		f.History.Segments = append(f.History.Segments, s)
		f.Objects = append(f.Objects, repository.Object{Name: s.Name, Kind: repository.Segment, Size: 1000, SHA256: "0123456789abcdef", Leaf: int64(i) + 2})
	}
	return f
}

// without drops the objects from leaf from to leaf to, as retention does, and appends the leaf that says so.
func without(f repository.Facts, from, to int64) repository.Facts {
	gone := map[string]bool{}
	f.Objects = slices.DeleteFunc(slices.Clone(f.Objects), func(o repository.Object) bool {
		gone[o.Name] = o.Leaf >= from && o.Leaf < to
		return gone[o.Name]
	})
	f.History.Segments = slices.DeleteFunc(slices.Clone(f.History.Segments), func(s history.Segment) bool { return gone[s.Name] })
	f.Head.Number, f.Head.Size = f.Head.Number+1, f.Head.Size+1
	return f
}

func sync(t testing.TB, c *catalog.Catalog, f repository.Facts) {
	t.Helper()
	if err := c.Sync(t.Context(), ref, f); err != nil {
		t.Fatal(err)
	}
}

func due(t testing.TB, c *catalog.Catalog, d catalog.Due) []catalog.Aged {
	t.Helper()
	list, err := c.Due(t.Context(), ref, d)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func leaves(list []catalog.Aged) []int64 {
	var all []int64
	for _, a := range list {
		all = append(all, a.Leaf)
	}
	slices.Sort(all)
	return all
}

func holding(t testing.TB, c *catalog.Catalog) catalog.Holding {
	t.Helper()
	s, err := c.Summary(t.Context())
	if err != nil || len(s.Holdings) != 1 {
		t.Fatalf("%d holdings: %v", len(s.Holdings), err)
	}
	return s.Holdings[0]
}

// check fails unless the catalog lists just the objects of f.
func check(t testing.TB, c *catalog.Catalog, f repository.Facts) {
	t.Helper()
	var want []int64
	for _, o := range f.Objects {
		if o.Leaf >= 0 {
			want = append(want, o.Leaf)
		}
	}
	slices.Sort(want)
	if got := leaves(due(t, c, catalog.Due{Limit: 1 << 30})); !slices.Equal(got, want) {
		t.Fatalf("the catalog has %d objects, want %d", len(got), len(want))
	}
	if h := holding(t, c); h.Objects != int64(len(want)) || h.Bytes != f.StoredBytes || h.Checkpoint != f.Head.Number {
		t.Fatalf("summed up as %+v", h)
	}
}
