package pack_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	_ "modernc.org/sqlite"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/sqlite"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
)

// shopLog is the log of a shop: commits of one order each, with its lines and the stock, as the engine ships them.
func shopLog(t testing.TB, commits int) []pack.SegmentEntry {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.db")
	db, err := sql.Open("sqlite", path+"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, at TEXT, state TEXT, total REAL)")
	exec("CREATE INDEX orders_customer ON orders (customer)")
	exec("CREATE TABLE lines (id INTEGER PRIMARY KEY, order_id INTEGER, item TEXT, n INTEGER)")
	exec("CREATE TABLE stock (item TEXT PRIMARY KEY, n INTEGER)")
	exec("INSERT INTO stock WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM i WHERE x < 5000) SELECT 'item-' || x, 1000 FROM i")
	src, err := sqlite.Engine{}.Connect(t.Context(), "sqlite:"+path, engine.Options{Name: "shop", StateDir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	base, err := src.TakeBase(t.Context(), engine.BaseOptions{}, discard{})
	if err != nil {
		t.Fatal(err)
	}
	log := &shipped{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- src.Follow(ctx, base.Bookmark, log.ship) }()
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range commits {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		item := fmt.Sprintf("item-%d", rnd.IntN(5000)+1)
		for query, args := range map[string][]any{
			"INSERT INTO orders (customer, at, state, total) VALUES (?, ?, 'open', ?)": {fmt.Sprintf("customer %d", rnd.IntN(2000)), time.Now().String(), rnd.Float64() * 100},
			"INSERT INTO lines (order_id, item, n) VALUES (?, ?, ?)":                   {i, item, rnd.IntN(9)},
			"UPDATE stock SET n = n - 1 WHERE item = ?":                                {item},
		} {
			if _, err := tx.Exec(query, args...); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for log.commits() < commits {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return log.entries
}

// shipped keeps what an engine ships.
type shipped struct {
	mu      sync.Mutex
	entries []pack.SegmentEntry
	marks   int
}

func (s *shipped) ship(_ context.Context, pieces []engine.Piece) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pieces {
		s.marks += len(p.Marks)
		if len(p.Data) == 0 {
			continue
		}
		data := bytes.Clone(p.Data)
		s.entries = append(s.entries, pack.SegmentEntry{File: p.File, Offset: p.Offset, Size: int64(len(data)),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
	}
	return nil
}

func (s *shipped) commits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks
}

// discard is a sink of a base that nobody wants.
type discard struct{}

func (discard) Put(_ context.Context, _ engine.File, r io.Reader) error {
	if r == nil {
		return nil
	}
	_, err := io.Copy(io.Discard, r)
	return err
}

// BenchmarkSealShopLog seals real log of SQLite, whose pages are LZ4 blocks already, as one segment. It reports how large
// the segment is beside the log.
func BenchmarkSealShopLog(b *testing.B) {
	entries := shopLog(b, 5000)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		b.Fatal(err)
	}
	sealer := pack.SegmentSealer{Recipients: []age.Recipient{id.Recipient()}}
	spec := pack.SegmentSpec{Entries: slices.Values(entries), Segment: history.Segment{From: history.At(1, 0), To: history.At(1, uint64(len(entries)))}}
	var sealed pack.Sealed
	for b.Loop() {
		if sealed, err = pack.SealSegment(b.Context(), io.Discard, sealer, spec); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(sealed.Segment.Bytes)
	b.ReportMetric(float64(sealed.Size)/float64(sealed.Segment.Bytes), "stored/log")
}
