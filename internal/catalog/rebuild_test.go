package catalog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/local"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// newRepository makes a repository whose ledger lists n segments. Their objects do not exist: nobody reads them here.
func newRepository(t testing.TB, s store.Store, n int) (catalog.Opener, *ledger.Signer) {
	t.Helper()
	signer, err := ledger.NewSigner("db1")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	_, err = repository.Create(t.Context(), s, repository.CreateOptions{Source: "app", Engine: "sqlite", SystemID: "id1",
		Readers: []repository.Reader{{Name: "anna", Recipient: reader.Recipient().String()}}, Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ledger.Config{Store: s, Prefix: "app/ledger", Origin: "app", Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < n; from += 10_000 {
		var leaves []ledger.Leaf
		for i := from; i < min(from+10_000, n); i++ {
			seg := history.Segment{Name: fmt.Sprintf("log/1/%020d-%020d-0123456789ab", i, i+1), From: history.At(1, uint64(i)), To: history.At(1, uint64(i+1)),
				Since: start.Add(time.Duration(i) * time.Second), Until: start.Add(time.Duration(i+1) * time.Second), Commits: 3, Bytes: 5000, StoredBytes: 1000}
			body, err := ledger.Body(seg)
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, ledger.Leaf{Kind: string(repository.Segment), Name: seg.Name, Size: 1000, SHA256: strings.Repeat("0123456789abcdef", 4), Body: body})
		}
		if _, err := l.Append(t.Context(), func(ledger.Checkpoint) (ledger.Change, error) { return ledger.Change{Leaves: leaves}, nil }); err != nil {
			t.Fatal(err)
		}
	}
	open := func(ctx context.Context) (*repository.Repository, error) {
		return repository.Open(ctx, s, repository.Options{Source: "app", Identities: []age.Identity{reader}, Signer: signer})
	}
	return catalog.Opener{Ref: ref, Open: open}, signer
}

var errParse = errors.New("no report")

func parse(signed []byte, _ []string) (catalog.Drill, error) {
	if bytes.HasPrefix(signed, []byte("check")) {
		return catalog.Drill{}, catalog.ErrNoDrill
	}
	began, verdict, ok := bytes.Cut(signed, []byte(" "))
	at, err := time.Parse(time.RFC3339, string(began))
	if err != nil || !ok {
		return catalog.Drill{}, errParse
	}
	return catalog.Drill{Began: at, Verdict: string(verdict)}, nil
}

// TestRebuildGivesBackWhatProtects deletes the file and makes it again.
func TestRebuildGivesBackWhatProtects(t *testing.T) {
	s := mem.New()
	opener, signer := newRepository(t, s, 700)
	r, err := opener.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id, text := range map[string]string{"r1": "2026-11-21T10:00:00Z proved", "r2": "2026-11-21T11:00:00Z backup-bad", "r3": "damaged", "c1": "check"} {
		if err := r.PutReport(t.Context(), id, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	log, err := audit.Open(audit.Config{Store: mem.New(), Name: audit.NameOf("db1", signer), Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []audit.Entry{
		{Who: audit.Who{Job: "j1"}, What: audit.Base, Source: "app", Outcome: audit.Began, Why: "a day is over"},
		{Who: audit.Who{Job: "j1"}, What: audit.Base, Source: "app", Outcome: audit.Failed, Since: start, Time: start.Add(time.Minute), Error: "disk full"},
		{Who: audit.Who{Job: "j1"}, What: audit.Base, Source: "app", Outcome: audit.OK, Since: start, Time: start.Add(2 * time.Minute), Why: "a day is over", Bytes: 7},
		{What: audit.Settings, Outcome: audit.OK},
	} {
		if _, err := log.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	dead := catalog.Opener{Ref: catalog.Ref{Source: "app", Repository: "dead"}, Open: func(context.Context) (*repository.Repository, error) { return nil, errors.New("unplugged") }}
	c, _ := open(t)
	for round := range 2 { // the second changes nothing
		done, err := c.Rebuild(t.Context(), catalog.Truth{Repositories: []catalog.Opener{dead, opener}, Audit: log, Drill: parse})
		if err != nil || done.Objects < 700 || done.Reports != 2*(1-round) || done.Runs != 1 || len(done.Failed) != 2 || !errors.Is(done.Failed[ref], errParse) || strings.Contains(done.Failed[ref].Error(), "c1") {
			t.Fatalf("%+v, %v", done, err)
		}
		h := holding(t, c)
		if h.Segments != 700 || h.Engine != "sqlite" || h.Reports != 4 || h.LastDrill.Verdict != "backup-bad" || h.LastProved.Report != "r1" || !h.GoodSince.Equal(start.Add(time.Second)) {
			t.Fatalf("%+v", h)
		}
		runs, err := c.Runs(t.Context(), catalog.RunFilter{})
		if err != nil || len(runs) != 1 || runs[0].ID != "j1" || runs[0].Outcome != catalog.OK || runs[0].Bytes != 7 || !runs[0].Began.Equal(start) {
			t.Fatalf("%+v, %v", runs, err)
		}
	}
}

// BenchmarkRebuild makes a catalog from a repository in a local folder. The goal is 20,000 objects a second.
func BenchmarkRebuild(b *testing.B) {
	const n = 200_000
	opener, _ := newRepository(b, local.New(filepath.Join(b.TempDir(), "repo")), n)
	b.ResetTimer()
	for range b.N {
		c, err := catalog.Open(b.Context(), filepath.Join(b.TempDir(), "catalog.db"))
		if err != nil {
			b.Fatal(err)
		}
		done, err := c.Rebuild(b.Context(), catalog.Truth{Repositories: []catalog.Opener{opener}})
		if err != nil || done.Objects < n || len(done.Failed) > 0 {
			b.Fatalf("%+v, %v", done, err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}

// BenchmarkFacts is the part of it that reads the ledger.
func BenchmarkFacts(b *testing.B) {
	const n = 200_000
	opener, _ := newRepository(b, local.New(filepath.Join(b.TempDir(), "repo")), n)
	b.ResetTimer()
	for range b.N {
		r, err := opener.Open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if f, err := r.Facts(b.Context()); err != nil || len(f.Objects) < n {
			b.Fatal(len(f.Objects), err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}

// BenchmarkStatus asks what status asks of a catalog of a million segments, 200 sources and 100,000 runs. The goal is
// 300 ms in all.
func BenchmarkStatus(b *testing.B) {
	c, _ := open(b)
	sync(b, c, facts(1_000_000))
	for i := range 200 {
		other := catalog.Ref{Source: fmt.Sprint("app", i), Repository: "local"}
		if err := c.Sync(b.Context(), other, facts(10)); err != nil {
			b.Fatal(err)
		}
	}
	for from := 0; from < 100_000; from += 5000 {
		var runs []catalog.Run
		for i := from; i < from+5000; i++ {
			r := run(fmt.Sprint(i), i, catalog.OK)
			r.Source, r.Kind = fmt.Sprint("app", i%200), []string{"base", "drill", "check"}[i%3]
			runs = append(runs, r)
		}
		if err := c.Record(b.Context(), runs...); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		s, err := c.Summary(b.Context())
		if err != nil || len(s.Holdings) != 201 || len(s.Activities) != 600 || s.Holdings[0].Objects != 1_000_002 {
			b.Fatalf("%d, %d, %v", len(s.Holdings), len(s.Activities), err)
		}
		list, err := c.Runs(b.Context(), catalog.RunFilter{Source: "app7", Last: 20})
		if err != nil || len(list) != 20 {
			b.Fatal(len(list), err)
		}
		if aged, err := c.Due(b.Context(), ref, catalog.Due{Limit: 100}); err != nil || len(aged) != 100 {
			b.Fatal(len(aged), err)
		}
	}
}

// BenchmarkSyncOne adds one segment to 200,000.
func BenchmarkSyncOne(b *testing.B) {
	c, _ := open(b)
	f := facts(200_000)
	sync(b, c, f)
	for b.Loop() {
		leaf := f.Head.Size
		f.Objects = append(f.Objects, repository.Object{Name: fmt.Sprint("log/1/", leaf), Kind: repository.Segment, Leaf: leaf})
		f.Head.Size, f.Head.Number = leaf+1, f.Head.Number+1
		sync(b, c, f)
	}
}
