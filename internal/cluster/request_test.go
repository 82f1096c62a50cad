package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// TestWhenRequestsAreTaken: one that may lose something releases what is stuck, any other one waits.
func TestWhenRequestsAreTaken(t *testing.T) {
	planned := Request{Kind: Switchover, To: "db2", By: "anna"}
	fail := Request{Kind: Failover, By: "ben"}
	lose := Request{Kind: Failover, By: "ben", Lose: true}
	for _, c := range []struct {
		phase   Phase
		pending *Request
		asked   Request
		taken   bool
		release bool // the refusal tells that one that may lose would be taken
	}{
		{Serving, nil, planned, true, false},
		{Serving, nil, Request{Kind: Switchover, To: "db1"}, false, false},
		{Serving, &planned, planned, true, false},
		{Serving, &fail, planned, false, true},
		{Serving, &fail, lose, true, false},
		{Draining, &planned, lose, false, false},
		{Fencing, nil, fail, false, true},
		{Fencing, nil, lose, true, false},
		{Fencing, &planned, fail, false, true},
		{Fencing, &planned, lose, true, false},
		{Fencing, &lose, Request{Kind: Failover, By: "anna", Lose: true}, false, false},
		{Promoting, nil, planned, false, true},
		{Promoting, nil, lose, true, false},
		{Forming, nil, lose, false, false},
	} {
		s := State{Phase: c.phase, Primary: "db1", Epoch: 3, Request: c.pending}
		if c.phase == Forming {
			s.Epoch = 0
		}
		next, err := s.Asked(c.asked)
		if taken := err == nil && *next.Request == c.asked; taken != c.taken || !taken && next.Request != c.pending {
			t.Errorf("%s, %+v under way, %+v asked for: %+v, %v", c.phase, c.pending, c.asked, next.Request, err)
		}
		var busy *BusyError
		if errors.As(err, &busy); (busy != nil && busy.Release) != c.release {
			t.Errorf("%s, %+v under way, %+v asked for: %v", c.phase, c.pending, c.asked, err)
		}
	}
}

// TestWhoAnswersIsHeardFirst: a loss that is accepted is no larger than it has to be, and what was accepted holds if a promotion fails.
func TestWhoAnswersIsHeardFirst(t *testing.T) {
	cfg := Config{Cluster: "shop", Sync: 1, Peers: []Peer{{Name: "db1"}, {Name: "db2"}, {Name: "db3"}}}.WithDefaults()
	s := State{Phase: Fencing, Epoch: 2, Primary: "db1", Timeline: 1, Request: &Request{Kind: Failover, By: "anna", Lose: true},
		Quorums: []Quorum{{Step: 1, Epoch: 1, Primary: "db1", Names: []string{"db2", "db3"}, K: 1}}}
	now := time.Minute
	v := View{Since: now - time.Second, BeatSeen: 0, Facts: []Fact{noFact, noFact, noFact}}
	for i, p := range cfg.Peers {
		f := &v.Facts[i]
		if f.Name = p.Name; i > 0 {
			f.Answered, f.Role, f.Promised, f.Received = now, Standby, 1, history.At(1, 100)
		}
	}
	v.Facts[1].Promised = 2
	if d := Decide(cfg, s, v, now); d.Row == "promote" {
		t.Errorf("db3 answers and was not heard: %s", d.Reason)
	}
	v.Since = now - cfg.Patience
	if d := Decide(cfg, s, v, now); d.Row != "promote" {
		t.Errorf("db3 answers and does not promise: %s: %s", d.Row, d.Reason)
	}
	v.BeatSeen = now
	if d := Decide(cfg, s, v, now); d.Row != "wait for cut" {
		t.Errorf("db1's tenure is not over: %s: %s", d.Row, d.Reason)
	}
	s.Phase, s.Primary = Promoting, "db2"
	if d := Decide(cfg, s, v, now); d.Row != "try again" || d.Next.Request == nil {
		t.Errorf("db2 fails: %s, and %+v is left of what was asked", d.Row, d.Next.Request)
	}
}
