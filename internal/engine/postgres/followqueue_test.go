package postgres

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// TestABurstIsGivenBack: what a burst of log took of memory is not kept by a stream that rests.
func TestABurstIsGivenBack(t *testing.T) {
	q := newQueue(16 << 20)
	at := wal.LSN(16 << 20)
	for range queueSize / runSize {
		r, space := q.space(at)
		q.publish(r, len(space), wal.Record{End: at + wal.LSN(len(space))}, nil)
		at += wal.LSN(len(space))
	}
	if !q.full() {
		t.Fatal("the queue is not full")
	}
	for range 2 * queueSize / runSize {
		list, _, _, _ := q.take()
		q.release(list)
	}
	if len(q.free) != queueSize/runSize || len(q.runs) != 0 {
		t.Fatalf("%d runs are free and %d in use after the burst", len(q.free), len(q.runs))
	}
	for range queueSize / runSize {
		q.knows(time.Now())
	}
	if len(q.free) != freeRuns {
		t.Errorf("%d runs are kept, want %d", len(q.free), freeRuns)
	}
}
