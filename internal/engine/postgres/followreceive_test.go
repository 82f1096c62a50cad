package postgres

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/replication"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// TestKeepalivesAreNoProof has a server that answers three questions in a row before it looks for log: it was held up while
// others committed. Only the witness knows that nothing is missing, and only where it says so.
func TestKeepalivesAreNoProof(t *testing.T) {
	const end = wal.LSN(0x1000028)
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	r := newReceiver(&follower{s: &Source{segmentSize: 1 << 24, version: 15, options: engine.Options{Now: time.Now}}, position: history.At(1, uint64(end))}, serverState{way: wal.History{Timeline: 1}}, nil, newQueue(1<<24), end, 0)
	r.next = end
	hear := func(s int) time.Time {
		t.Helper()
		if err := r.take(replication.Message{End: end, Time: at(s)}); err != nil {
			t.Fatal(err)
		}
		_, whole, _, _ := r.q.take()
		return whole
	}
	for s := range 3 {
		if whole := hear(s); !whole.IsZero() {
			t.Fatalf("answer %d passes for all of the log until %s", s+1, whole)
		}
	}
	r.testimony.Store(&testimony{at(2), end + 8})
	if whole := hear(3); !whole.IsZero() {
		t.Fatalf("the log is said to be whole until %s while the witness knows more of it", whole)
	}
	r.testimony.Store(&testimony{at(2), end})
	if whole := hear(4); !whole.Equal(at(2)) {
		t.Errorf("the log is whole until %s, want %s", whole, at(2))
	}
}
