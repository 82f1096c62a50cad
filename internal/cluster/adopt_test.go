package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// TestAnAdoptedPrimaryMayHaveAcknowledgedAlone: before it was adopted nobody asked it to wait, and its replicas may be behind.
func TestAnAdoptedPrimaryMayHaveAcknowledgedAlone(t *testing.T) {
	cfg := Config{Cluster: "shop", Sync: 1, Peers: []Peer{{Name: "db1"}, {Name: "db2"}, {Name: "db3"}}}.WithDefaults()
	at := func(v View, primary, replicas uint64) View {
		v.Facts = nil
		for _, p := range cfg.Peers {
			f := Fact{Name: p.Name, Answered: time.Second, Role: Standby, SystemID: "1", Heard: Never, Vouched: Never, Stalled: Never, Short: Never, Received: history.At(1, replicas), Following: "db1", Promised: 1}
			if p.Name == "db1" {
				f.Role, f.Following, f.Epoch, f.Received = Primary, "", 1, history.At(1, primary)
				f.Streams = []Stream{{"db2", history.At(1, replicas)}, {"db3", history.At(1, replicas)}}
			}
			v.Facts = append(v.Facts, f)
		}
		return v
	}
	v := at(View{}, 1000, 700)
	d := Decide(cfg, State{}, v, time.Second)
	s := d.Next
	if d.Row != "adopt" || len(s.Quorums) != 2 || s.Quorums[0].K != 0 || s.Quorums[1].K != 1 || s.Quorums[0].Step == s.Quorums[1].Step {
		t.Fatalf("%s: %+v", d.Row, s.Quorums)
	}
	s.Phase = Serving
	v.Facts[0].Counting, v.Facts[0].Switched = s.Quorums[1], history.At(1, 1000)
	if d := Decide(cfg, s, v, time.Second); d.Row != "serve" {
		t.Errorf("with replicas that are behind: %s", d.Row)
	}
	dead := at(View{BeatSeen: -time.Minute, Began: -time.Minute, Since: -time.Minute}, 1000, 700)
	dead.Facts[0].Answered = -30 * time.Second
	for i := 1; i < 3; i++ {
		dead.Facts[i].Heard = -30 * time.Second
	}
	if d := Decide(cfg, s, dead, time.Second); d.Row != "endure" || !strings.Contains(d.Reason, "acknowledged by itself alone") {
		t.Errorf("dead before they have all: %s: %s", d.Row, d.Reason)
	}
	v = at(v, 1000, 1000)
	v.Facts[0].Counting, v.Facts[0].Switched = s.Quorums[1], history.At(1, 1000)
	d = Decide(cfg, s, v, time.Second)
	if d.Row != "drop old quorum" || len(d.Next.Quorums) != 1 {
		t.Fatalf("with replicas that have all: %s", d.Row)
	}
	if d := Decide(cfg, d.Next, dead, time.Second); d.Row != "take over" {
		t.Errorf("dead after that: %s: %s", d.Row, d.Reason)
	}
	cfg.Sync, cfg.MaxLoss = 0, 1
	if d := Decide(cfg, State{}, v, time.Second); len(d.Next.Quorums) != 1 {
		t.Errorf("asynchronous: %+v", d.Next.Quorums)
	}
}

// TestMembersWithoutDataDoNotStandInTheWay: a single server becomes a primary with replicas that are filled from it. A member of another server does.
func TestMembersWithoutDataDoNotStandInTheWay(t *testing.T) {
	cfg := Config{Cluster: "shop", Manual: true, Peers: []Peer{{Name: "db1"}, {Name: "db2"}, {Name: "db3"}}}.WithDefaults()
	at := func(f Fact) Fact {
		f.Heard, f.Vouched, f.Stalled, f.Short = Never, Never, Never, Never
		return f
	}
	empty, primary := at(Fact{Name: "db1", Role: Stopped, Blank: true}), at(Fact{Name: "db2", Role: Primary, SystemID: "7"})
	for name, c := range map[string]struct {
		third Fact
		row   string
	}{
		"empty too":                    {at(Fact{Name: "db3", Role: Stopped, Blank: true}), "adopt"},
		"a copy":                       {at(Fact{Name: "db3", Role: Standby, SystemID: "7"}), "adopt"},
		"being cloned":                 {at(Fact{Name: "db3", Role: Stopped, SystemID: "7", Blank: true}), "adopt"},
		"of another server":            {at(Fact{Name: "db3", Role: Standby, SystemID: "8"}), "wait for members"},
		"a primary too":                {at(Fact{Name: "db3", Role: Primary, SystemID: "7"}), "wait for members"},
		"silent":                       {at(Fact{Name: "db3", Answered: Never}), "wait for members"},
		"data that nobody can read":    {at(Fact{Name: "db3", Role: Stopped}), "wait for members"},
		"a primary that knows nothing": {at(Fact{Name: "db3", Role: Primary, Blank: true}), "wait for members"},
	} {
		d := Decide(cfg, State{}, View{Facts: []Fact{empty, primary, c.third}, BeatSeen: Never}, 0)
		if d.Row != c.row || d.Changes && d.Next.Primary != "db2" {
			t.Errorf("%s: %s, primary %s", name, d.Row, d.Next.Primary)
		}
	}
}
