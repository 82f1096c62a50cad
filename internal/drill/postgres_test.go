//go:build unix

package drill

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/ledger"
)

// recordPostgres protects a real server while 12 orders are put into a database of its own.
func recordPostgres(t *testing.T) *recording {
	t.Helper()
	c := pgtest.New(t, pgtest.Options{Checksums: true})
	c.Exec(t, "create database shop")
	shop := strings.Replace(c.SocketURL(pgtest.Admin), "/postgres?", "/shop?", 1)
	conn := connect(t, shop)
	run := func(query string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	run("create table orders (id bigserial primary key, item text, paid boolean default true)")
	run("alter database shop set search_path = shelf, public")
	run("create schema shelf")
	src, err := postgres.Engine{}.Connect(t.Context(), c.SocketURL(pgtest.Admin), engine.Options{Name: "shop", StateDir: t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	r := &recording{bases: map[string]*enginetest.Sink{}, history: history.History{Source: "shop", Engine: "postgres"}}
	first := r.base(t, src, history.Position{})
	rec := enginetest.NewStreamRecorder(first.Bookmark)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- src.Follow(ctx, first.Bookmark, rec.Ship) }()
	for i := range 12 {
		run("insert into orders (item) values ('item ' || repeat('x', 100))")
		if i == 5 || i == 8 {
			f, err := postgres.Engine{}.Fingerprint(t.Context(), src)
			if err != nil {
				t.Fatal(err)
			}
			r.fingerprints = append(r.fingerprints, f)
		}
	}
	captured(t, rec, 12)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if r.log, err = rec.Log(t.Context(), 7, nil); err != nil {
		t.Fatal(err)
	}
	r.history.Segments, r.history.Whole = r.log.Segments(), rec.Whole()
	return r
}

// TestOwnersChecksOnPostgres puts questions of all kinds to a server that was started on recovered data.
func TestOwnersChecksOnPostgres(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers; without -short")
	}
	r := recordPostgres(t)
	c := newWorld().config(t)
	c.Engine, c.Facts, c.Now, c.Source, c.Dir, c.Scratch = postgres.Engine{}, r.facts, nil, "shop", t.TempDir(), pgtest.Place(t)
	psql, err := exec.LookPath("psql")
	if err != nil {
		psql = "psql"
	}
	count := "select count(*) from orders"
	cases := []struct {
		Question
		ok, unasked bool
		says        string
	}{
		{Question{SQL: count, Expect: "12"}, true, false, "gives 12"},
		{Question{SQL: count + ";", Expect: "11", Database: "shop"}, false, false, "gives 12, want 11"},
		{Question{SQL: "select bool_and(paid) from orders", Expect: "true"}, true, false, "gives true"},
		{Question{SQL: "select not bool_and(paid) from orders"}, false, false, "gives false, want any value"},
		{Question{SQL: "show search_path", Expect: "shelf, public"}, true, false, "gives shelf, public"},
		{Question{SQL: "select generate_series(1, 100000000)", Expect: "1"}, false, false, "more than one row"},
		{Question{SQL: "select count(*) from customers"}, false, false, "42P01"},
		{Question{SQL: "insert into orders (item) values ('x') returning 1", Expect: "1"}, false, false, "25006"},
		{Question{SQL: "commit; select 1", Expect: "1"}, false, false, "42601"},
		{Question{SQL: "select pg_sleep(300)", Limit: time.Second}, false, true, "longer than 1s"},
		{Question{SQL: "select 1", Database: "nowhere"}, false, false, "3D000"},
		{Question{Command: []string{psql, "-X", "-Atc", count}}, false, false, "exit status 2"}, // it was not told where
		{Question{Command: []string{"sh", "-c", psql + ` -X "$BACKSTAY_DSN" -v ON_ERROR_STOP=1 -Atc "insert into orders (item) values ('the application writes')"`}}, true, false, "ended with 0"},
		{Question{Command: []string{"sh", "-c", psql + ` -X "$BACKSTAY_DSN" -Atc "select pg_sleep(300)" & sleep 300`}, Limit: time.Second}, false, true, "longer than 1s"},
		{Question{Command: []string{"sh", "-c", psql + ` -X "$BACKSTAY_DSN" -Atc "select pg_sleep(300)" & exit 0`}}, true, false, "ended with 0"},
		{Question{Command: []string{"sh", "-c", `case "$BACKSTAY_DSN" in *@/shop*host=*) test "$BACKSTAY_SOURCE" = shop;; *) echo "$BACKSTAY_DSN"; exit 1;; esac`}}, true, false, "ended with 0"},
		{Question{Command: []string{"./none"}}, false, true, "no such file"},
	}
	for _, q := range cases {
		c.Questions = append(c.Questions, q.Question)
	}
	began := time.Now()
	report, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if report.Verdict != CheckFailed || len(report.Checks) < len(cases)+4 {
		t.Fatalf("%s\n%+v", report, report.Checks)
	}
	owners := report.Checks[len(report.Checks)-len(cases):]
	for i, q := range cases {
		if got := owners[i]; got.OK != q.ok || (got.Unasked != "") != q.unasked || !strings.Contains(got.Detail, q.says) {
			t.Errorf("%+v:\n%+v\nwant %t, %t, %q", q.Question, got, q.ok, q.unasked, q.says)
		}
	}
	if took := time.Since(began); took > 2*time.Minute {
		t.Errorf("took %s", took)
	}
	requireEmpty(t, c.Scratch)

	c.Questions = []Question{cases[0].Question}
	if report, err = Run(t.Context(), c); err != nil || report.Verdict != Proved {
		t.Errorf("%s, %v", report, err)
	}
	// The server's socket is closed to all but its user and root, as long as it is there.
	c.Questions = []Question{{Command: []string{"sh", "-c", `d=$(echo "$BACKSTAY_DSN" | sed 's/.*host=\([^&]*\).*/\1/; s/%2F/\//g'); test -S "$d/.s.PGSQL.5432" && ls -ld "$d" | grep '^drwx------'`}}}
	if report, err = Run(t.Context(), c); err != nil || report.Verdict != Proved {
		t.Errorf("%s, %v", report, err)
	}
	if left, _ := filepath.Glob(filepath.Join(c.Scratch, "*")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// TestDrillComparesWithTheSource recovers to where fingerprints were taken: what the source had is proved, and what it had not is found.
func TestDrillComparesWithTheSource(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers; without -short")
	}
	r := recordPostgres(t)
	c := newWorld().config(t)
	c.Engine, c.Facts, c.Now, c.Source, c.Scratch = postgres.Engine{}, r.facts, nil, "shop", pgtest.Place(t)
	c.Pick = Fingerprinted
	report, err := Run(t.Context(), c)
	if err != nil || report.Verdict != Proved || report.Compared == nil || report.Compared.Rows != 9 || report.Compared.Why != "" || report.Asked != "fingerprint" {
		t.Fatalf("%s, %v, %+v", report, err, report.Compared)
	}
	c.Pick, c.Random = Random, nil
	compared, moments := 0, 0
	for range 40 {
		if compared > 0 && moments > 0 {
			break
		}
		if report, err = Run(t.Context(), c); err != nil || report.Verdict != Proved {
			t.Errorf("%s, %v", report, err)
		}
		if report.Compared != nil {
			compared++
		} else {
			moments++
		}
	}
	if compared == 0 || moments == 0 {
		t.Errorf("of the random drills %d went to a fingerprint, %d to another moment", compared, moments)
	}

	c.Pick = Fingerprinted
	r.fingerprints[1].Detail = []byte(strings.Replace(string(r.fingerprints[1].Detail), `"rows":9,`, `"rows":10,`, 1))
	if report, err = Run(t.Context(), c); err != nil || report.Verdict != DataDiffers || report.Lost == "" || !strings.Contains(report.Reason, "public.orders has 9 rows, and had 10") {
		t.Errorf("%s, %v", report, err)
	}
	page, err := Page(report.Signed, c.Signer.(*ledger.Signer).Verifier())
	if err != nil || !strings.Contains(string(page), "1 differ") {
		t.Errorf("%v, page %s", err, page)
	}
	r.fingerprints = nil
	if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "no fingerprint") {
		t.Errorf("without any: %v", err)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
