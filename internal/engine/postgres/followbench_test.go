package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

var errEnough = errors.New("enough")

// BenchmarkFollow follows log that the server has already, with a ship that keeps nothing.
func BenchmarkFollow(b *testing.B) {
	c := pgtest.New(b, pgtest.Options{Settings: map[string]string{"wal_keep_size": "8GB", "max_wal_size": "8GB", "min_wal_size": "4GB"}})
	e, err := Engine{}.Connect(b.Context(), c.SocketURL(pgtest.Backup), engine.Options{Name: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	s := e.(*Source)
	from := c.LSN(b).SegmentStart(s.segmentSize)
	c.Exec(b, "create table t (i int, x text)")
	for range 4 {
		c.Exec(b, "insert into t select i, repeat(md5(i::text), 3) from generate_series(1, 1500000) i")
	}
	to := c.LSN(b)
	b.SetBytes(int64(to - from))
	for b.Loop() {
		err := s.Follow(b.Context(), engine.Bookmark{Position: position(1, from), Time: time.Now()}, func(_ context.Context, pieces []engine.Piece) error {
			if wal.LSN(pieces[len(pieces)-1].To.Seq) >= to {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.Counters().Shipped)/float64(b.N), "shipments/op")
}
