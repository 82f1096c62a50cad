//go:build unix

package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/history"
)

// TestFingerprintsAreExact takes fingerprints while others write, and compares each with a server that was recovered to where Cut says.
// Not one may differ: whoever is told of a difference that is none does not look at the next.
func TestFingerprintsAreExact(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers; without -short")
	}
	for _, version := range pgtest.Versions(t) {
		t.Run(fmt.Sprint(version), func(t *testing.T) { exactFingerprints(t, version) })
	}
}

func exactFingerprints(t *testing.T, version int) {
	w := newWorld(t, pgtest.Options{Version: version})
	w.cluster.Exec(t, "create table busy(n bigint primary key, v text, at timestamptz default clock_timestamp(), f float8 default random())",
		"insert into busy select g, md5(g::text) from generate_series(1, 20000) g", "create table cut(n int)", "create schema s",
		`create table s."Odd name"("a b" int, j jsonb, b bytea)`, `insert into s."Odd name" select g, '{"a": [1, null]}', decode('00ff', 'hex') from generate_series(1, 3) g`)
	w.take(t, nil)
	src := fingerprinted(t, w.cluster)
	stop := w.write(t)
	var taken []engine.Fingerprint
	for i := range 6 {
		b := usual
		if i%2 == 1 {
			b.bytes, b.blocks = 400<<10, 4
		}
		began := time.Now()
		f, err := src.fingerprint(t.Context(), "postgres", b)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d tables, %d rows, %d bytes in %s", f.Tables, f.Rows, f.Bytes, time.Since(began))
		taken = append(taken, f)
	}
	stop()
	l := w.log(t, 300_000)
	compared := 0
	for i, f := range taken {
		at, err := Engine{}.Cut(t.Context(), l.upTo(f.Position), f)
		if none, ok := errors.AsType[*engine.NoCutError](err); ok {
			t.Log(none)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		dir, r := w.restored(t, l, at)
		s, err := Engine{}.Launch(t.Context(), dir, r)
		if err != nil {
			t.Fatal(err)
		}
		c := compare(t, s, f)
		if c.Why == "" {
			compared++
		}
		if len(c.Different) > 0 || c.LeftOut > 0 || c.Why == "" && c.Rows != f.Rows {
			t.Errorf("fingerprint %d at %s: %+v, of %s", i, at, c, f.Detail)
		}
		if c.Why == "" && i < 2 {
			plantedDifferences(t, s, f)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d of %d could be compared", compared, len(taken))
	if compared < len(taken)/2 {
		t.Errorf("%d of %d could be compared", compared, len(taken))
	}
}

// plantedDifferences alters what was recovered, and what a fingerprint says, and demands that each is found.
func plantedDifferences(t *testing.T, s engine.Server, f engine.Fingerprint) {
	t.Helper()
	var d fingerprint
	if err := json.Unmarshal(f.Detail, &d); err != nil {
		t.Fatal(err)
	}
	for i := range d.Tables {
		wrong := d
		wrong.Tables = append([]tableDigest(nil), d.Tables...)
		wrong.Tables[i].Sum += "1"
		altered := f
		altered.Detail, _ = json.Marshal(wrong)
		if c := compare(t, s, altered); len(c.Different) != 1 || !strings.HasPrefix(c.Different[0], d.Tables[i].Name) {
			t.Errorf("a wrong digest of %s: %+v", d.Tables[i].Name, c)
		}
	}
	conn := superuser(t, s.DSN())
	for _, change := range []string{
		`update s."Odd name" set j = '{"a": [2, null]}' where "a b" = 2`,
		`insert into s."Odd name" values (4, null, null)`,
		`drop table s."Odd name"`,
	} {
		if _, err := conn.Exec(t.Context(), change).ReadAll(); err != nil {
			t.Fatal(err)
		}
		if c := compare(t, s, f); c.Why != "" || len(c.Different) != 1 || !strings.Contains(c.Different[0], "Odd name") {
			t.Errorf("%s: %+v", change, c)
		}
	}
}

// TestFingerprintKnowsItsTransactions has a transaction stand in the data that the snapshot did not see: nothing is compared, and nobody
// accused.
func TestFingerprintKnowsItsTransactions(t *testing.T) {
	w := newWorld(t, pgtest.Options{})
	w.take(t, nil)
	src := fingerprinted(t, w.cluster)
	open := w.cluster.Connect(t)
	if _, err := open.Exec(t.Context(), "begin; insert into ledger values (1, 'x')"); err != nil {
		t.Fatal(err)
	}
	flush := time.AfterFunc(200*time.Millisecond, func() { w.cluster.Exec(t, "create table other()") }) // else the server does in 15 s
	defer flush.Stop()
	f, err := src.fingerprint(t.Context(), "postgres", usual)
	if err != nil || f.Rows != 0 || f.Tables != 1 {
		t.Fatalf("%+v, %v", f, err)
	}
	if _, err := open.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	w.cluster.Exec(t, "insert into ledger values (2, 'y')")
	l := w.log(t, 1<<20)
	marks := l.marks()
	dir, r := w.restored(t, l, marks[len(marks)-1].Position)
	s, err := Engine{}.Launch(t.Context(), dir, r)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(context.Background()) //nolint:errcheck // its data is thrown away
	if c := compare(t, s, f); c.Why == "" || c.Tables != 0 || len(c.Different) != 0 {
		t.Errorf("%+v", c)
	}
}

// TestFingerprintLeavesOutWhatChanged alters tables while a fingerprint is taken, in the ways that older snapshots see.
func TestFingerprintLeavesOutWhatChanged(t *testing.T) {
	c := pgtest.New(t, pgtest.Options{})
	c.Exec(t, "create table kept as select 1 as n", "create table emptied as select g from generate_series(1, 10) g", "create table wider as select 1 as n",
		"create table locked as select 1 as n")
	src := fingerprinted(t, c)
	holder, err := src.session(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer closeSoon(holder.Close)
	k := &taking{source: src, bounds: usual, out: fingerprint{Database: "postgres"}, end: time.Now().Add(time.Minute)}
	if k.reader, err = src.session(t.Context(), "postgres"); err != nil {
		t.Fatal(err)
	}
	defer closeSoon(k.reader.Close)
	if _, err := k.begin(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	c.Exec(t, "truncate emptied", "alter table wider add column m int default 1")
	lock := c.Connect(t)
	if _, err := lock.Exec(t.Context(), "begin; lock table locked"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := k.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it waited for a lock: %s", took)
	}
	if names := namesOf(k.out.Tables); names != "public.kept" {
		t.Errorf("tables %s", names)
	}
}

func namesOf(tables []tableDigest) string {
	var names []string
	for _, d := range tables {
		names = append(names, d.Name)
	}
	return strings.Join(names, " ")
}

// TestFingerprintsOnlyWhereGranted asks as a role that may only replicate.
func TestFingerprintsOnlyWhereGranted(t *testing.T) {
	c := pgtest.New(t, pgtest.Options{})
	c.Exec(t, "create table orders as select 1 as n")
	src, err := Engine{}.Connect(t.Context(), c.SocketURL(pgtest.Backup), engine.Options{Name: "shop", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Engine{}.Fingerprint(t.Context(), src)
	refused, ok := errors.AsType[*engine.NotGrantedError](err)
	if !ok || !strings.Contains(refused.Hint(), "pg_read_all_data") {
		t.Fatal(err)
	}
	c.Exec(t, "grant select on orders to "+pgtest.Backup)
	f, err := Engine{}.Fingerprint(t.Context(), src)
	if err != nil || f.Tables != 1 || f.Rows != 1 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestSnapshotsSee(t *testing.T) {
	s, err := parseSnapshot("10:20:12,15")
	if err != nil {
		t.Fatal(err)
	}
	for xid, sees := range map[uint64]bool{3: true, 11: true, 12: false, 15: false, 19: true, 20: false, 21: false} {
		if s.sees(xid) != sees {
			t.Errorf("%d: %t", xid, !sees)
		}
	}
	s, err = parseSnapshot("4294967290:4294967300:4294967295") // 2^32 + 4
	if err != nil {
		t.Fatal(err)
	}
	for xid, sees := range map[uint64]bool{4294967289: true, 4294967295: false, 4294967294: true, 3: true, 4: false} {
		if s.sees(xid) != sees {
			t.Errorf("%d: %t", xid, !sees)
		}
	}
	for _, text := range []string{"", "1:2", "1:x:", "1:2:3,y"} {
		if _, err := parseSnapshot(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

// TestCutNeedsAnOrder puts commits into the log in other orders than they became visible in.
func TestCutNeedsAnOrder(t *testing.T) {
	at := func(n uint64) history.Position { return history.At(1, n) }
	for _, c := range []struct {
		xids string // in the order of the log, each at the next position
		want uint64 // 0: none
	}{
		{"5 6 7", 3}, {"5 6 20", 2}, {"5 12 6", 0}, {"5 6 12 25", 2}, {"12 13", 0}, {"12", 0}, {"", 9},
	} {
		l := &memLog{segments: []history.Segment{{}}, parts: []*memSegment{{}}}
		for i, word := range strings.Fields(c.xids) {
			var xid uint64
			_, _ = fmt.Sscan(word, &xid)
			l.parts[0].marks = append(l.parts[0].marks, history.Mark{Position: at(uint64(i + 1)), XID: xid})
		}
		detail, _ := json.Marshal(fingerprint{Snapshot: snapshot{Next: 20, Running: []uint64{12}}})
		got, err := Engine{}.Cut(t.Context(), l, engine.Fingerprint{Position: at(9), Detail: detail})
		_, none := errors.AsType[*engine.NoCutError](err)
		if none != (c.want == 0) || !none && got.Seq != c.want {
			t.Errorf("%q: %v, %v", c.xids, got, err)
		}
	}
}

// fingerprinted connects to a cluster as its superuser.
func fingerprinted(t *testing.T, c *pgtest.Cluster) *Source {
	t.Helper()
	src, err := Engine{}.Connect(t.Context(), c.SocketURL(pgtest.Admin), engine.Options{Name: "shop", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return src.(*Source)
}

func compare(t *testing.T, s engine.Server, f engine.Fingerprint) engine.Comparison {
	t.Helper()
	c, err := s.(engine.Comparer).Compare(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// upTo is the log that a plan to a position reads.
func (l *memLog) upTo(p history.Position) *memLog {
	for i, s := range l.segments {
		if s.To.Seq >= p.Seq {
			return &memLog{segments: l.segments[:i+1], parts: l.parts[:i+1]}
		}
	}
	return l
}

// write has four sessions write until stop is called: in transactions short and long, with savepoints, that are taken back, and that
// truncate.
func (w *world) write(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var g sync.WaitGroup
	for i := range 4 {
		conn := w.cluster.Connect(t)
		g.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				sql := fmt.Sprintf("insert into busy values (%d, 'x')", 1_000_000*(i+1)+n)
				switch n % 7 {
				case 1:
					sql = fmt.Sprintf("update busy set v = v || 'y' where n = %d", (n*37+i)%20000)
				case 2:
					sql = fmt.Sprintf("begin; savepoint a; delete from busy where n = %d; rollback to a; update busy set v = 'z' where n = %d; commit", n, n+1)
				case 3:
					sql = fmt.Sprintf("begin; delete from busy where n between %d and %d; rollback", n, n+10)
				case 4:
					sql = fmt.Sprintf("begin; update busy set v = md5(v) where n %% 1000 = %d; select pg_sleep(0.02); commit", n%1000)
				case 5:
					if i == 0 && n%35 == 5 {
						sql = "begin; truncate cut; insert into cut select generate_series(1, 10); commit"
					}
				}
				_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
				if code(err) == "40P01" { // a deadlock leaves the transaction open
					_, err = conn.PgConn().Exec(ctx, "rollback").ReadAll()
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return func() { cancel(); g.Wait() }
}

// superuser opens a session in the database that writers use.
func superuser(t *testing.T, dsn string) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.Database = peopleDatabase
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeSoon(conn.Close) })
	return conn
}

// BenchmarkFingerprint takes fingerprints of a table of 400 MB: of 64 MiB, while a client writes, whose commits it times.
func BenchmarkFingerprint(b *testing.B) {
	c := pgtest.New(b, pgtest.Options{})
	c.Exec(b, "create table t(n bigint primary key, v text)", "insert into t select g, repeat(md5(g::text), 12) from generate_series(1, 900000) g", "checkpoint", "create table w(n int)")
	src, err := Engine{}.Connect(b.Context(), c.SocketURL(pgtest.Admin), engine.Options{Name: "shop", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var g sync.WaitGroup
	var commits int
	var worst time.Duration
	conn := c.Connect(b)
	g.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			if _, err := conn.Exec(ctx, "insert into w values (1)"); err != nil {
				return
			}
			commits, worst = commits+1, max(worst, time.Since(began))
			time.Sleep(time.Millisecond)
		}
	})
	var read int64
	for b.Loop() {
		f, err := src.(*Source).fingerprint(ctx, "postgres", usual)
		if err != nil {
			b.Fatal(err)
		}
		read += f.Bytes
	}
	took := b.Elapsed()
	cancel()
	g.Wait()
	b.ReportMetric(float64(read)/1e6/took.Seconds(), "MB/s")
	b.ReportMetric(float64(worst)/1e6, "worst-commit-ms")
	b.ReportMetric(float64(commits)/took.Seconds(), "commits/s")
}
