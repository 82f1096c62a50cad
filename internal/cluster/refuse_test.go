package cluster

import (
	"slices"
	"strings"
	"testing"
)

func sound() Ask {
	a := Ask{Config: Config{Cluster: "shop", Sync: 1}, Voters: []string{"ha1", "ha2", "ha3"}}
	for i, name := range []string{"db1", "db2", "db3"} {
		a.Config.Peers = append(a.Config.Peers, Peer{Name: name, Address: "10.0.0." + string(rune('1'+i)) + ":5432"})
		a.Members = append(a.Members, Report{Name: name, Reached: true, SystemID: "7", Major: 17, Primary: i == 0, Timeline: 1, Agent: true, Checksums: true})
	}
	return a
}

func TestRefusals(t *testing.T) {
	if r := Refusals(sound()); len(r) != 0 {
		t.Fatalf("a sound cluster is refused: %v", r)
	}
	for _, c := range []struct {
		want   string
		change func(*Ask)
	}{
		{"db2: has system id 8, db1 has 7", func(a *Ask) { a.Members[1].SystemID = "8" }},
		{"db3: runs PostgreSQL 16, db1 runs 17", func(a *Ask) { a.Members[2].Major = 16 }},
		{"2 voters: an even number", func(a *Ask) { a.Voters = a.Voters[:2] }},
		{"max_loss 0 needs synchronous replication", func(a *Ask) { a.Config.Sync = 0 }},
		{"the port of listener 127.0.0.1:6432 is taken", func(a *Ask) { a.Taken = []string{"127.0.0.1:6432"} }},
		{"db2: belongs to cluster crm", func(a *Ask) { a.Members[1].Owner = "crm" }},
		{"db1: lacks a right or a setting", func(a *Ask) { a.Members[0].Missing = []string{"GRANT pg_monitor TO backstay"} }},
		{"[db1 db2] are all primaries", func(a *Ask) { a.Members[1].Primary = true }},
		{"db3: does not answer", func(a *Ask) { a.Members[2].Reached = false }},
		{"no member may ever be primary", func(a *Ask) {
			for i := range a.Config.Peers {
				a.Config.Peers[i].NoFailover = true
			}
		}},
		{"db1: nobody can stop it when it is cut off", func(a *Ask) { a.Config.Sync, a.Config.MaxLoss = 0, 1<<20 }},
		{"sync: 2 of 2: the loss of any member stops all writes", func(a *Ask) { a.Config.Sync = 2 }},
		{"sync: 3, but a primary has 2 other members", func(a *Ask) { a.Config.Sync = 3 }},
		{"db2: neither checksums nor wal_log_hints", func(a *Ask) { a.Members[1].Checksums = false }},
		{"db2: is reached over SQL alone: a guard", func(a *Ask) { a.Config.Peers[1].Bare, a.Config.Peers[1].Guard = true, true }},
		{"db2: has the address of db1", func(a *Ask) { a.Config.Peers[1].Address = a.Config.Peers[0].Address }},
	} {
		a := sound()
		c.change(&a)
		got := Refusals(a)
		if !slices.ContainsFunc(got, func(r Refusal) bool { return strings.HasPrefix(r.Error(), c.want) && r.Hint != "" }) {
			t.Errorf("want %q, have %v", c.want, got)
		}
	}
}
