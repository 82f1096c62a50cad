//go:build unix

package sqlite

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

// BenchmarkCapture turns the 2,000 commits of a WAL, each an update and an insert as a shop makes them, into LTX files.
func BenchmarkCapture(b *testing.B) {
	const commits = 2000
	db, err := open(filepath.Join(b.TempDir(), "app.db"), "mode=rwc&_pragma=journal_mode(wal)&_pragma=synchronous(0)&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	exec := func(statement string) {
		if _, err := db.Exec(statement); err != nil {
			b.Fatal(err)
		}
	}
	exec(`CREATE TABLE state(n INTEGER, total INTEGER); INSERT INTO state VALUES(0,0);
		CREATE TABLE orders(id INTEGER PRIMARY KEY, n INTEGER, body TEXT);
		WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i<20000) INSERT INTO orders SELECT i, i, hex(randomblob(50)) FROM c;
		PRAGMA wal_checkpoint(TRUNCATE)`)
	var path string
	if err := db.QueryRow("SELECT file FROM pragma_database_list").Scan(&path); err != nil {
		b.Fatal(err)
	}
	src, err := Engine{}.Connect(b.Context(), "sqlite:"+path, engine.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	s := src.(*Source)
	if _, err := s.TakeBase(b.Context(), engine.BaseOptions{}, &enginetest.Sink{}); err != nil {
		b.Fatal(err)
	}
	for range commits {
		exec("BEGIN; UPDATE state SET n=n+1; INSERT INTO orders(n, body) SELECT n, hex(randomblob(60)) FROM state; UPDATE orders SET n=n+1 WHERE id=1+abs(random())%20000; COMMIT")
	}
	x, err := readWALIndex(s.files.shm)
	if err != nil {
		b.Fatal(err)
	}
	ship := func(context.Context, []engine.Piece) error { return nil }
	bytes := int64(0)
	b.ReportAllocs()
	cpu := cpuTime()
	for b.Loop() {
		out := &batch{ctx: b.Context(), limit: s.limits.batchBytes, done: func(head) {}, last: s.head}
		out.ship = func(ctx context.Context, p []engine.Piece) error {
			for _, piece := range p {
				bytes += int64(len(piece.Data))
			}
			return ship(ctx, p)
		}
		c := capture{db: s.files.db, wal: s.files.wal, head: s.head, index: s.index.clone(), out: out,
			stamp: func(salt, uint32) time.Time { return time.Now() }, pinned: func() bool { return true }}
		if err := c.to(x); err != nil {
			b.Fatal(err)
		}
		if err := out.flush(); err != nil || c.commits != commits {
			b.Fatal(c.commits, err)
		}
	}
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N)/commits, "cpu-ns/commit")
	b.ReportMetric(float64(bytes)/float64(b.N)/commits, "bytes/commit")
}
