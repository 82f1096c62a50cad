package crash

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestRandomKills kills writer, agent or both at random, again and again. What the agent had reported durable before
// a kill must be found in the repository alone, without spool, state or source.
func TestRandomKills(t *testing.T) {
	s := newShop(t, "wal", 200)
	s.write()
	s.protect()
	s.until(30*time.Second, "protection begins", func() bool { return !s.durable().IsZero() })
	var reported time.Time
	for i := range times(30, 500) {
		time.Sleep(time.Duration(rand.IntN(600)) * time.Millisecond)
		if at := s.durable(); at.After(reported) {
			reported = at
		}
		who := rand.IntN(3)
		if who != 0 {
			s.kill(s.agent)
		}
		if who != 1 {
			s.kill(s.writer)
			s.write()
		}
		if i%6 == 5 {
			s.holds(reported)
		}
		if who != 0 {
			s.protect()
		}
	}
	s.protected()
	s.rest()
	s.protected()
	all := s.ledger()
	s.stop()
	s.holds(reported)
	if got, want := s.restore("latest"), all[len(all)-1].n; got < want {
		t.Errorf("at the end the repository holds %d orders of %d", got, want)
	}
	s.check()
}

// holds demands that the repository holds everything that was committed by reported.
func (s *shop) holds(reported time.Time) {
	s.t.Helper()
	want := settledBy(s.ledger(), reported)
	if got := s.restore("latest"); got < want {
		s.t.Fatalf("order %d was reported durable at %v, the repository holds %d", want, reported, got)
	}
}
