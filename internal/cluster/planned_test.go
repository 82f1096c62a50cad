package cluster

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/route"
)

// planned is a cluster of three with a request to give db1's place to db2, seen at one second.
func planned(phase Phase) (Config, State, View) {
	cfg := Config{Cluster: "shop", Sync: 1, Peers: []Peer{{Name: "db1"}, {Name: "db2"}, {Name: "db3"}}}.WithDefaults()
	s := State{
		Phase: phase, Epoch: 8, Primary: "db1", Timeline: 3, Request: &Request{Kind: Switchover, To: "db2", By: "anna"}, Proxies: []route.ID{{Name: "app", Life: "1"}},
		Quorums: []Quorum{{Step: 1, Epoch: 8, Primary: "db1", Names: []string{"db2", "db3"}, K: 1}},
	}
	v := View{Since: time.Second, Began: 0, Asked: time.Second, BeatSeen: time.Second, Proxies: []Proxy{{ID: s.Proxies[0], Answered: 2 * time.Second, Heard: time.Second, Epoch: 8}}}
	for _, p := range cfg.Peers {
		v.Facts = append(v.Facts, Fact{Name: p.Name, Answered: 2 * time.Second, Role: Standby, Following: "db1", Received: history.At(3, 100), Heard: 2 * time.Second, Promised: 8, Vouched: Never, Stalled: Never, Short: Never})
	}
	p := &v.Facts[0]
	p.Role, p.Following, p.Epoch, p.Counting = Primary, "", 8, s.Quorums[0]
	p.Streams = []Stream{{"db2", p.Received}, {"db3", p.Received}}
	return cfg, s, v
}

// TestASwitchoverIsPreparedBeforeSessionsAreHeld: by the proxies and by the primary, for as long as that may take.
func TestASwitchoverIsPreparedBeforeSessionsAreHeld(t *testing.T) {
	now := 2 * time.Second
	cfg, s, v := planned(Serving)
	d := Decide(cfg, s, v, now)
	if d.Row != "prepare" || d.Changes || len(d.Actions) != 1 || d.Actions[0].Verb != Prepare || d.Actions[0].Member != "db1" {
		t.Fatalf("nobody is ready: %s, %v", d.Row, d.Actions)
	}
	if d := Decide(cfg, s, v, v.Asked+cfg.Ahead); d.Row == "prepare" {
		t.Error("it waits longer than it may")
	}
	v.Proxies[0].Ready = "db2"
	if d := Decide(cfg, s, v, now); d.Row != "prepare" {
		t.Errorf("the primary is not prepared: %s", d.Row)
	}
	v.Facts[0].Prepared = true
	if d := Decide(cfg, s, v, now); d.Row != "drain" {
		t.Errorf("all is ready: %s", d.Row)
	}
	v.Proxies[0].Ready = "db3"
	if d := Decide(cfg, s, v, now); d.Row != "prepare" {
		t.Errorf("ready for another change: %s", d.Row)
	}
}

// TestARequestIsRefusedForWhatIsSeenSinceItCame, not for what was seen before: a member that came back a moment ago follows.
func TestARequestIsRefusedForWhatIsSeenSinceItCame(t *testing.T) {
	cfg, s, v := planned(Serving)
	v.Facts[1].Following, v.Facts[1].Answered = "", v.Asked-time.Millisecond
	now := v.Asked + 20*time.Millisecond
	if d := Decide(cfg, s, v, now); d.Row != "look again" {
		t.Errorf("seen before it was asked: %s", d.Row)
	}
	v.Facts[1].Answered = v.Asked + time.Millisecond
	v.Facts[0].Answered = v.Asked + time.Millisecond
	if d := Decide(cfg, s, v, now); d.Row != "refuse switchover" {
		t.Errorf("seen after it was asked: %s", d.Row)
	}
	v.Facts[1].Answered = v.Asked - time.Millisecond
	if d := Decide(cfg, s, v, v.Asked+cfg.After); d.Row != "refuse switchover" {
		t.Errorf("silent since: %s", d.Row)
	}
}

// TestAnOldPrimaryThatStoppedHandsOver to who has all that it had; others are asked only where that one has not.
func TestAnOldPrimaryThatStoppedHandsOver(t *testing.T) {
	now := 2 * time.Second
	fenced := func() (Config, State, View) {
		cfg, s, v := planned(Fencing)
		s.Epoch = 9
		v.Proxies[0].Closed = 9
		v.Facts[0].Role, v.Facts[0].Promised = Stopped, 9
		return cfg, s, v
	}
	cfg, s, v := fenced()
	d := Decide(cfg, s, v, now)
	if d.Row != "promote" || d.Next.Primary != "db2" || !d.Next.Start.Equal(history.At(3, 100)) || d.Next.Quorums[1].K != 1 || len(d.Next.Proxies) != 1 {
		t.Fatalf("%s: %s: %+v", d.Row, d.Reason, d.Next)
	}
	for name, change := range map[string]func(*Config, *State, *View){
		"it has less":                  func(_ *Config, _ *State, v *View) { v.Facts[1].Received = history.At(3, 99) },
		"its log is not whole":         func(_ *Config, _ *State, v *View) { v.Facts[1].Blank = true },
		"it does not answer":           func(c *Config, _ *State, v *View) { v.Facts[1].Answered = now - c.After - 1 },
		"the old one has not promised": func(_ *Config, _ *State, v *View) { v.Facts[0].Promised = 8 },
		"the old one still runs":       func(_ *Config, _ *State, v *View) { v.Facts[0].Role = Primary },
		"nobody asked for it":          func(_ *Config, s *State, _ *View) { s.Request = nil },
	} {
		cfg, s, v := fenced()
		change(&cfg, &s, &v)
		if d := Decide(cfg, s, v, now); d.Row == "promote" && d.Next.Primary == "db2" {
			t.Errorf("%s: it is appointed without a promise", name)
		}
	}
	cfg, s, v = fenced()
	v.Facts[0].Promised, v.Facts[0].Role = 8, Primary
	if d := Decide(cfg, s, v, now); len(d.Actions) != 1 || d.Actions[0].Member != "db1" {
		t.Errorf("first the old one alone: %v", d.Actions)
	}
	cfg, s, v = fenced()
	v.Facts[1].Received = history.At(3, 99)
	if d := Decide(cfg, s, v, now); len(d.Actions) != 2 {
		t.Errorf("then, where something is missing, all: %v", d.Actions)
	}
}

// TestNobodyIsFilledFromAServerThatDoesNotRun while others may promise: what only that one has was told nobody.
func TestNobodyIsFilledFromAServerThatDoesNotRun(t *testing.T) {
	cfg, s, v := planned(Fencing)
	s.Epoch, s.Request = 9, nil
	v.Proxies[0].Closed = 9
	v.Facts[0].Role, v.Facts[0].Promised, v.Facts[0].Received = Stopped, 9, history.At(3, 120)
	v.Facts[1].Promised = 9
	fills := func(now time.Duration) int {
		d := Decide(cfg, s, v, now)
		if d.Row != "fill candidate" {
			t.Errorf("%s: %s", d.Row, d.Reason)
		}
		n := 0
		for _, a := range d.Actions {
			if a.Verb == Fill {
				n++
			}
		}
		return n
	}
	if fills(2*time.Second) != 0 {
		t.Error("it is filled though db3 may promise")
	}
	v.Facts[2].Answered = Never
	if fills(2*time.Second) != 1 {
		t.Error("it is not filled though db3 is silent")
	}
	v.Facts[2].Answered, v.Facts[2].Promised = 2*time.Second, 9
	if d := Decide(cfg, s, v, 2*time.Second); d.Row != "promote" || d.Next.Start.Equal(history.At(3, 120)) {
		t.Errorf("both promised: %s: %s", d.Row, d.Reason)
	}
}
