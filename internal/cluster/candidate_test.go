package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// TestAFullDiskComesLast: whoever has no room would not be primary for long, but where only one has what was acknowledged it is that one.
func TestAFullDiskComesLast(t *testing.T) {
	for _, c := range []struct {
		name       string
		sync       int
		db2, db3   uint64 // ends of their logs
		full, want string
	}{
		{"both have all", 1, 100, 100, "db2", "db3"},
		{"nobody's disk is full", 1, 100, 100, "", "db2"},
		{"the other one is filled", 1, 100, 90, "db2", "db3"},
		{"nobody tells what was acknowledged", 0, 100, 90, "db2", "db2"},
		{"nobody tells, and both have as much", 0, 100, 100, "db2", "db3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &look{now: time.Minute, state: State{Epoch: 2, Phase: Fencing, Primary: "db1", Timeline: 1}}
			l.cfg = Config{Cluster: "shop", Sync: c.sync, Peers: []Peer{{Name: "db1"}, {Name: "db2", Priority: 1}, {Name: "db3"}}}.WithDefaults()
			for name, end := range map[string]uint64{"db2": c.db2, "db3": c.db3} {
				f := noFact
				f.Name, f.Answered, f.Role, f.Promised, f.Received, f.Full = name, l.now, Standby, 2, history.At(1, end), name == c.full
				l.view.Facts = append(l.view.Facts, f)
			}
			if got := l.candidate(); got == nil || got.Name != c.want {
				t.Errorf("%+v is taken, want %s", got, c.want)
			}
		})
	}
}

// TestAFailoverToWhoIsUnfitIsRefused before anything is claimed, with the reason, and who could: who names one does not want another.
func TestAFailoverToWhoIsUnfitIsRefused(t *testing.T) {
	now := 2 * time.Second
	for _, c := range []struct {
		name   string
		change func(*Config, *State, *View)
		row    string
		says   string
	}{
		{"it is fit", func(*Config, *State, *View) {}, "take over on request", "anna"},
		{"it is marked nofailover, and a person names it", func(c *Config, _ *State, _ *View) { c.Peers[1].NoFailover = true }, "take over on request", "anna"},
		{"its log is not whole", func(_ *Config, _ *State, v *View) { v.Facts[1].Blank = true }, "refuse failover", "db2 has no whole log; fit is db3"},
		{"it does not answer", func(_ *Config, _ *State, v *View) { v.Facts[1].Answered = Never }, "refuse failover", "db2 does not answer; fit is db3"},
		{"nor does the other one", func(_ *Config, _ *State, v *View) { v.Facts[1].Answered, v.Facts[2].Answered = Never, Never }, "refuse failover", "db2 does not answer; nor is any other member fit"},
		{"it is primary", func(_ *Config, s *State, _ *View) { s.Request.To = "db1" }, "refuse failover", "db1 is the primary already; fit is db2, db3"},
		{"it is nobody", func(_ *Config, s *State, _ *View) { s.Request.To = "db9" }, "refuse failover", "db9 is no member"},
		{"it lacks too much", func(c *Config, s *State, v *View) {
			c.Sync, c.MaxLoss, s.Reached, v.Facts[1].Received = 0, 50, history.At(3, 100), history.At(3, 40)
		}, "refuse failover", "db2 has 3/40, db1 had reached 3/100: more than the 50 bytes that may be lost; fit is db3"},
		{"a person accepts that", func(c *Config, s *State, v *View) {
			c.Sync, c.MaxLoss, s.Reached, v.Facts[1].Received = 0, 50, history.At(3, 100), history.At(3, 40)
			s.Request.Lose = true
		}, "take over on request", "anna"},
		{"nobody is named", func(_ *Config, s *State, v *View) { s.Request.To, v.Facts[1].Blank = "", true }, "take over on request", "anna"},
	} {
		cfg, s, v := planned(Serving)
		s.Request.Kind, v.Asked = Failover, 0
		c.change(&cfg, &s, &v)
		if d := Decide(cfg, s, v, now); d.Row != c.row || !strings.Contains(d.Reason, c.says) {
			t.Errorf("%s: %s: %s", c.name, d.Row, d.Reason)
		}
	}
	cfg, s, v := planned(Serving)
	s.Request.Kind, v.Facts[1].Blank, v.Asked, v.Facts[1].Answered = Failover, true, now, now-time.Millisecond
	if d := Decide(cfg, s, v, now); d.Row != "look for another" {
		t.Errorf("seen before it was asked: %s: %s", d.Row, d.Reason)
	}
}

// TestAFailoverThatCannotBeIsRefusedThoughThePrimaryIsLost: it does not wait for a day on which it would surprise people.
func TestAFailoverThatCannotBeIsRefusedThoughThePrimaryIsLost(t *testing.T) {
	cfg, s, v := planned(Serving)
	s.Request.Kind = Failover
	now := time.Minute
	if d := Decide(cfg, s, v, now); d.Row != "refuse failover" || d.Next.Request != nil {
		t.Errorf("%s: %s", d.Row, d.Reason)
	}
	s.Request = nil
	if d := Decide(cfg, s, v, now); d.Row != "endure" {
		t.Errorf("nothing is asked: %s: %s", d.Row, d.Reason)
	}

	cfg, s, v = planned(Serving) // its agent says that its server is down, and nobody could take over
	v.Facts[0].Role, v.Since, v.Asked = Stopped, 0, 0
	cfg.Peers[1].NoFailover, cfg.Peers[2].NoFailover = true, true
	s.Request.To = "db3"
	v.Facts[1].Blank, v.Facts[2].Stalled = true, 0
	if d := Decide(cfg, s, v, 2*time.Second); d.Row != "refuse switchover" || !strings.Contains(d.Reason, "db1 answers that its server is stopped") {
		t.Errorf("a switchover from a primary that is lost: %s: %s", d.Row, d.Reason)
	}
}

// TestWhoWasAskedForIsNamedWhereAnotherIsTaken, with the reason.
func TestWhoWasAskedForIsNamedWhereAnotherIsTaken(t *testing.T) {
	cfg, s, v := planned(Fencing)
	s.Epoch, s.Request.Kind, v.Proxies[0].Closed = 9, Failover, 9
	v.Facts[0].Role, v.Facts[0].Promised, v.Facts[2].Promised = Stopped, 9, 9
	v.Facts[1].Answered = Never
	if d := Decide(cfg, s, v, 2*time.Second); d.Row != "promote" || !strings.Contains(d.Reason, "db3 has 3/100 (db2, which was asked for, does not answer)") {
		t.Errorf("%s: %s", d.Row, d.Reason)
	}
}
