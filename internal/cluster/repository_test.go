package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// asynchronous is a cluster whose guarded primary db1 is gone: it had told 1000, db2 has promised and has 700.
func asynchronous(maxLoss uint64) (Config, State, View) {
	cfg := Config{Cluster: "shop", MaxLoss: maxLoss, Peers: []Peer{{Name: "db1", Guard: true}, {Name: "db2", Guard: true}}}.WithDefaults()
	s := State{
		Phase: Fencing, Epoch: 8, Primary: "db1", Timeline: 3, Reached: history.At(3, 1000),
		Quorums: []Quorum{{Step: 1, Epoch: 7, Primary: "db1", Names: []string{"db2"}}},
	}
	v := View{Since: 0, BeatSeen: -time.Minute, Facts: []Fact{noFact, noFact}}
	v.Facts[0].Name, v.Facts[1].Name = "db1", "db2"
	v.Facts[1].Answered, v.Facts[1].Role, v.Facts[1].Promised, v.Facts[1].Received = time.Second, Standby, 8, history.At(3, 700)
	return cfg, s, v
}

// TestTheRepositoryFillsACandidate: what it has more is fetched, without end where the loss would be too large, else for a while.
func TestTheRepositoryFillsACandidate(t *testing.T) {
	now := time.Second
	for _, c := range []struct {
		name    string
		maxLoss uint64
		stored  history.Position
		since   time.Duration
		row     string
		says    string
	}{
		{"no repository, too much is lost", 100, history.Position{}, 0, "wait for accounts", "more than the 100 bytes"},
		{"it has less than the candidate", 100, history.At(3, 600), 0, "wait for accounts", "more than the 100 bytes"},
		{"it has another timeline", 100, history.At(2, 5000), 0, "wait for accounts", "more than the 100 bytes"},
		{"it has enough", 100, history.At(3, 950), 0, "fill candidate", "fill db2 from (repository)"},
		{"it has enough and takes long", 100, history.At(3, 950), -time.Hour, "fill candidate", "fill db2 from (repository)"},
		{"it has not enough either", 100, history.At(3, 800), 0, "wait for accounts", "more than the 100 bytes"},
		{"it was further than anybody told, and the candidate is too far behind", 400, history.At(3, 1200), 0, "fill candidate", "(repository)"},
		{"the loss is allowed, and it has more", 500, history.At(3, 950), 0, "fill candidate", "fill db2 from (repository)"},
		{"the loss is allowed, and it takes long", 500, history.At(3, 950), -time.Hour, "promote", "db2"},
	} {
		cfg, s, v := asynchronous(c.maxLoss)
		v.Stored, v.Since = c.stored, c.since
		d := Decide(cfg, s, v, now)
		if d.Row != c.row || !strings.Contains(d.Reason, c.says) {
			t.Errorf("%s: %s: %s", c.name, d.Row, d.Reason)
		}
	}
	cfg, s, v := asynchronous(100)
	v.Stored, v.Facts[1].Received = history.At(3, 950), history.At(3, 950)
	if d := Decide(cfg, s, v, now); d.Row != "promote" {
		t.Errorf("filled: %s: %s", d.Row, d.Reason)
	}
	// With synchronous replication what was acknowledged is in the promises, and the repository is not waited for.
	cfg, s, v = asynchronous(0)
	cfg.Sync, s.Quorums[0].K, v.Stored = 1, 1, history.At(3, 950)
	if d := Decide(cfg, s, v, now); d.Row != "promote" {
		t.Errorf("synchronous: %s: %s", d.Row, d.Reason)
	}
}

// TestABarePrimaryIsNotGivenAwayInVain: nobody can stop its server, so that a claim would end in a phase that nothing leads out of.
func TestABarePrimaryIsNotGivenAwayInVain(t *testing.T) {
	for _, c := range []struct {
		name     string
		sync     int
		unfenced bool
		maxLoss  uint64
		want     string
	}{
		{"asynchronous", 0, false, 100, "refuse switchover"},
		{"unfenced, but nothing may be lost", 0, true, 0, "refuse switchover"},
		{"unfenced", 0, true, 100, "drain"},
		{"synchronous", 1, false, 0, "drain"},
	} {
		cfg, s, v := asynchronous(c.maxLoss)
		cfg.Peers[0].Guard, cfg.Peers[0].Bare, cfg.Sync, cfg.Unfenced = false, true, c.sync, c.unfenced
		s.Phase, s.Epoch, s.Quorums[0].K, s.Reached = Serving, 7, c.sync, history.At(3, 700)
		s.Request = &Request{Kind: Switchover, To: "db2", By: "test"}
		v.BeatSeen = time.Second
		v.Facts[0].Answered, v.Facts[0].Role, v.Facts[0].Epoch, v.Facts[0].Received = time.Second, Primary, 7, history.At(3, 700)
		v.Facts[1].Following, v.Facts[1].Promised = "db1", 7
		if d := Decide(cfg, s, v, time.Second); d.Row != c.want {
			t.Errorf("%s: %s: %s", c.name, d.Row, d.Reason)
		}
		s.Request = &Request{Kind: Failover, By: "test"}
		want := map[bool]string{true: "take over on request", false: "refuse failover"}[c.want == "drain"]
		if d := Decide(cfg, s, v, time.Second); d.Row != want && !(c.unfenced && c.maxLoss == 0) {
			t.Errorf("%s, failover: %s: %s", c.name, d.Row, d.Reason)
		}
	}
}

// TestAGuardThatDoesNotRunIsNoFence: the file says guard, and the primary told last that none ran beside it.
func TestAGuardThatDoesNotRunIsNoFence(t *testing.T) {
	for _, unguarded := range []bool{false, true} {
		cfg, s, v := asynchronous(1000)
		v.Facts[0].Unguarded = unguarded
		row := map[bool]string{false: "promote", true: "wait for cut"}[unguarded]
		if d := Decide(cfg, s, v, time.Second); d.Row != row {
			t.Errorf("unguarded %t: %s: %s", unguarded, d.Row, d.Reason)
		}
		s.Phase, s.Epoch = Serving, 7
		l := &look{cfg: cfg, state: s, view: v, now: time.Second}
		if why := l.outOfReach(s.Quorums[0]); (why != "") != unguarded {
			t.Errorf("unguarded %t: claimed all the same, or never: %q", unguarded, why)
		}
	}
}
