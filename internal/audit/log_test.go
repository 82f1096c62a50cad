package audit_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/ledger"
	"github.com/backstaydb/backstay/internal/store/fault"
	"github.com/backstaydb/backstay/internal/store/mem"
)

func TestAppendAndReadBackOverVolumes(t *testing.T) {
	w := newWorld(t)
	w.store = mem.New()
	l := w.open(t, nil)
	for i := range 1500 {
		e := entry(i)
		e.Time = start.Add(time.Duration(i) * time.Minute)
		if _, err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := w.open(t, func(c *audit.Config) { c.Signer, c.Verifiers = nil, []string{w.signer.Verifier()} })
	all := read(t, r, audit.Filter{})
	if !slices.Equal(ids(all), wantIDs(0, 1500)) {
		t.Fatalf("%d entries, or another order", len(all))
	}
	if last := all[1499]; last.Volume != 2 || last.Tool != "1.2.3" || last.Who.User != "anna" || !last.Time.Equal(start.Add(1499*time.Minute)) {
		t.Errorf("the last is %+v", last)
	}
	for _, c := range []struct {
		name string
		f    audit.Filter
		want int
	}{
		{"last of several volumes", audit.Filter{Last: 900}, 900},
		{"last of one", audit.Filter{Last: 3, Source: "app1"}, 3},
		{"of a source", audit.Filter{Source: "app1"}, 500},
		{"a time", audit.Filter{Since: start.Add(10 * time.Minute), Until: start.Add(20 * time.Minute)}, 10},
		{"another kind", audit.Filter{What: []audit.Action{audit.Drop}}, 0},
		{"failed", audit.Filter{Outcomes: []audit.Outcome{audit.Failed}}, 0},
	} {
		if got := read(t, r, c.f); len(got) != c.want || c.f.Last > 0 && got[len(got)-1].N < 290 {
			t.Errorf("%s: %d entries, want %d", c.name, len(got), c.want)
		}
	}
	v, err := r.Verify(t.Context())
	if err != nil || len(v.Problems) > 0 || v.Entries != 1500 || v.Volumes != 3 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	if _, err := r.Append(t.Context(), entry(1)); err == nil {
		t.Error("a log without a signer was appended to")
	}
}

func TestReadOfNoLog(t *testing.T) {
	l := newWorld(t).open(t, nil)
	err := l.Read(t.Context(), audit.Filter{}, func(audit.Record) error { return nil })
	_, verifyErr := l.Verify(t.Context())
	if !errors.Is(err, fs.ErrNotExist) || !errors.Is(verifyErr, fs.ErrNotExist) {
		t.Errorf("read: %v, verify: %v", err, verifyErr)
	}
}

// TestWritersShareTheLog appends from several Logs, as several processes do, over the ends of volumes.
func TestWritersShareTheLog(t *testing.T) {
	w := newWorld(t)
	w.full = 20
	var wg sync.WaitGroup
	const writers, each = 4, 15
	for n := range writers {
		l := w.open(t, nil)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				if _, err := l.Append(context.Background(), entry(n*each+i)); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	got := ids(read(t, w.open(t, nil), audit.Filter{}))
	slices.Sort(got)
	if !slices.Equal(got, wantIDs(0, writers*each)) {
		t.Errorf("%d entries for %d", len(got), writers*each)
	}
	if v, err := w.open(t, nil).Verify(t.Context()); err != nil || len(v.Problems) > 0 || v.Volumes < 4 {
		t.Errorf("verify: %+v, %v", v, err)
	}
}

// TestEveryCallMayFail fails the first, the second … call to the store, before and after its effect: what was
// acknowledged stands, and what is appended again under its ID stands once.
func TestEveryCallMayFail(t *testing.T) {
	for name, effect := range map[string]fault.Effect{"before": fault.Fail(nil), "after": fault.FailAfter(nil)} {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				w := newWorld(t)
				w.store, w.full = mem.New(), 5
				plan := fault.NewPlan(fault.Rule{Nth: n, Effect: effect})
				l := w.open(t, func(c *audit.Config) { c.Store = fault.Wrap(w.store, plan) })
				for i := range 12 {
					if _, err := l.Append(t.Context(), entry(i)); err != nil {
						l = w.open(t, func(c *audit.Config) { c.Store = fault.Wrap(w.store, plan) })
						if _, err := l.Append(t.Context(), entry(i)); err != nil {
							t.Fatalf("call %d: append again: %v", n, err)
						}
					}
				}
				if got := ids(read(t, w.open(t, nil), audit.Filter{})); !slices.Equal(got, wantIDs(0, 12)) {
					t.Fatalf("call %d: %v", n, got)
				}
				if v, err := w.open(t, nil).Verify(t.Context()); err != nil || len(v.Problems) > 0 {
					t.Fatalf("call %d: %v, %v", n, v.Problems, err)
				}
				if plan.Fired() == 0 {
					if n < 20 {
						t.Fatalf("only %d calls were made", n)
					}
					return
				}
			}
		})
	}
}

func TestLostLogIsNotBegunAgain(t *testing.T) {
	w := newWorld(t)
	fill(t, w.open(t, nil), 0, 2)
	w.store = mem.New()
	var back *ledger.RollbackError
	if _, err := w.open(t, nil).Append(t.Context(), entry(3)); !errors.As(err, &back) {
		t.Errorf("append to a log that is gone: %v", err)
	}
}

func TestEntriesAreCompletedMaskedAndCut(t *testing.T) {
	w := newWorld(t)
	l := w.open(t, nil)
	e := audit.Entry{What: audit.Restore, Outcome: audit.Failed, Objects: make([]string, 1000),
		Error: "dial postgres://app:hunter2@db/: " + strings.Repeat("é", 100_000), Why: "\xff broken"}
	r, err := l.Append(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, l, audit.Filter{})[0]
	if got.ID == "" || got.ID != r.ID || got.Time.Before(start) || got.Time.After(w.now) || got.Who.Host != "db1" || got.Environment.PID != 7 {
		t.Errorf("not completed: %+v", got)
	}
	if strings.Contains(got.Error, "hunter2") || len(got.Error) > 4096 || !strings.HasSuffix(got.Error, "é…") || len(got.Objects) != 256 {
		t.Errorf("%d bytes of error, %d objects: %.60s", len(got.Error), len(got.Objects), got.Error)
	}
	for _, bad := range []audit.Entry{{What: audit.Base}, {Outcome: audit.OK}} {
		if _, err := l.Append(t.Context(), bad); err == nil {
			t.Errorf("%+v was appended", bad)
		}
	}
}

func TestSecretsAreMasked(t *testing.T) {
	for _, c := range []struct{ text, secret string }{
		{"connect postgres://u:s3cret@h/db: refused", "s3cret"},
		{`pgx: password=s3cret host=x`, "s3cret"},
		{`{"token": "s3 cret"}`, "cret"},
		{"PUT https://h/b?X-Amz-Signature=s3cret&x=1", "s3cret"},
		{"Authorization: Bearer s3cret.abcdefgh", "s3cret"},
		{"read AGE-SECRET-KEY-1QQQQ0: bad", "QQQQ"},
		{"PRIVATE+KEY+db1+0abc+s3cret", "s3cret"},
		{"post https://hooks.slack.com/services/T0/B0/s3cret: 500", "s3cret"},
		{"-----BEGIN OPENSSH PRIVATE KEY-----\ns3cret\n-----END OPENSSH PRIVATE KEY-----", "s3cret"},
	} {
		if got := audit.Mask(c.text); strings.Contains(got, c.secret) || !strings.Contains(got, "xxxxx") {
			t.Errorf("%q is kept as %q", c.text, got)
		}
	}
	for _, plain := range []string{"base 20261121T100000.000Z stands", "key file s3://bucket/path?region=eu", "the design of https://example.com/a:b"} {
		if got := audit.Mask(plain); got != plain {
			t.Errorf("%q became %q", plain, got)
		}
	}
}

func TestExport(t *testing.T) {
	w := newWorld(t)
	l := w.open(t, nil)
	fill(t, l, 0, 2)
	e := entry(2)
	e.Why, e.Objects, e.Since = "=1+1, \"quoted\"\nline", []string{"a", "b"}, start.Add(-time.Minute)
	if _, err := l.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var lines, table bytes.Buffer
	if err := errors.Join(l.Export(t.Context(), &lines, audit.JSONLines, audit.Filter{}), l.Export(t.Context(), &table, audit.CSV, audit.Filter{})); err != nil {
		t.Fatal(err)
	}
	var last audit.Record
	all := strings.Split(strings.TrimSpace(lines.String()), "\n")
	if err := json.Unmarshal([]byte(all[len(all)-1]), &last); err != nil || len(all) != 3 || last.Why != e.Why {
		t.Errorf("%d lines, the last %+v: %v", len(all), last, err)
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != 4 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	at := func(column string) string { return rows[3][slices.Index(rows[0], column)] }
	if at("why") != "'"+e.Why || at("objects") != "a b" || at("since") != "2026-11-21T09:59:00Z" || at("user") != "anna" {
		t.Errorf("the last row is %q", rows[3])
	}
	if err := l.Export(t.Context(), &table, "xml", audit.Filter{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("xml: %v", err)
	}
}
