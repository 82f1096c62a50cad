package crash

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestEveryMomentOfAPythonWriter restores at random recorded moments and compares with the writer's ledger: nothing
// from after the moment, all from a little before it, and exactly one commit for each TXID.
func TestEveryMomentOfAPythonWriter(t *testing.T) {
	for _, x := range []struct {
		mode  string
		rate  int
		slack time.Duration // how long before the moment a commit may have been made and still be missing
	}{{"wal", 100, 50 * time.Millisecond}, {"delete", 20, 2 * time.Second}} {
		t.Run(x.mode, func(t *testing.T) { restoreMoments(t, newShop(t, x.mode, x.rate), x.slack) })
	}
}

func restoreMoments(t *testing.T, s *shop, slack time.Duration) {
	s.write()
	s.protect()
	s.until(30*time.Second, "protection begins", func() bool { return !s.durable().IsZero() })
	first := time.Now()
	time.Sleep(time.Duration(times(12, 120)) * time.Second)
	s.rest()
	s.protected()
	all := s.ledger()
	last := all[len(all)-1]
	s.stop()

	if got := s.restore("latest"); got != last.n {
		t.Fatalf("latest holds %d orders, %d were committed", got, last.n)
	}
	span := last.settled.Sub(first)
	for range times(50, 500) {
		at := first.Add(time.Duration(rand.Int64N(int64(span))))
		got := s.restore(at.UTC().Format(time.RFC3339Nano))
		if least, most := settledBy(all, at.Add(-slack)), begunBy(all, at); got < least || got > most {
			t.Errorf("restored at %v: %d orders, want %d to %d", at, got, least, most)
		}
	}
	if s.mode == "wal" {
		compareTXIDs(t, s, last.n)
	}
	s.check("--deep", "--key", s.path("backstay.key"))
}

// compareTXIDs demands that one TXID is one commit.
func compareTXIDs(t *testing.T, s *shop, last int) {
	st, _ := s.status()
	end := st.Repositories[0].Position.Seq
	for range 5 {
		back := rand.IntN(300)
		txid := end - uint64(back)
		if got := s.restore(fmt.Sprintf("txid:%d", txid)); got != last-back {
			t.Errorf("txid:%d holds %d orders, want %d", txid, got, last-back)
		}
		if got := s.restore(fmt.Sprintf("before-txid:%d", txid)); got != last-back-1 {
			t.Errorf("before-txid:%d holds %d orders, want %d", txid, got, last-back-1)
		}
	}
}
