package cluster

import (
	"fmt"
	"slices"
)

// Report is what a check learned of one member by asking it.
type Report struct {
	Name      string
	Reached   bool
	SystemID  string
	Major     int // PostgreSQL's major version
	Primary   bool
	Timeline  uint32
	Owner     string   // cluster that an agent holds the member for; empty: none
	Agent     bool     // an agent answers there
	Missing   []string // rights and settings, each with the SQL that gives it
	Checksums bool     // data checksums or wal_log_hints: without, an old primary can't be rewound
}

// Ask is what is to be refused or not.
type Ask struct {
	Config  Config
	Members []Report
	Voters  []string // of the coordination; empty: one host decides
	Taken   []string // listeners whose port is taken, as host:port
	Foreign []string // listeners whose address is none of this host's
}

// Refusal says in plain words why a cluster can't be run as it is written, and what to do.
type Refusal struct {
	Member string // empty: the cluster
	Reason string
	Hint   string
}

// Error prints the reason.
func (r Refusal) Error() string {
	if r.Member == "" {
		return r.Reason
	}
	return r.Member + ": " + r.Reason
}

// Refusals are all reasons against an ask, in the order of the file; none: it can be run.
func Refusals(a Ask) []Refusal {
	var out []Refusal
	refuse := func(member, hint, format string, args ...any) {
		out = append(out, Refusal{Member: member, Reason: fmt.Sprintf(format, args...), Hint: hint})
	}
	refuseShape(a, refuse)
	refuseMembers(a, refuse)
	refusePromises(a, refuse)
	return out
}

type refuser func(member, hint, format string, args ...any)

func refuseShape(a Ask, refuse refuser) {
	if n := len(a.Voters); n > 0 && n%2 == 0 {
		refuse("", "add a voter on a third host, it needs no database, or take one away",
			"%d voters: an even number tolerates no more failures than one less, and can split in halves", n)
	}
	for _, at := range a.Taken {
		refuse("", "choose another port under listen, or stop what listens there", "the port of listener %s is taken", at)
	}
	for _, at := range a.Foreign {
		refuse("", "name an address of this host, or under listen the hosts that have it", "the address of listener %s is none of this host's", at)
	}
	seen := map[string]string{}
	for _, p := range a.Config.Peers {
		if other, ok := seen[p.Address]; ok && p.Address != "" {
			refuse(p.Name, "give each member a server of its own", "has the address of %s", other)
		}
		seen[p.Address] = p.Name
	}
	if !slices.ContainsFunc(a.Config.Peers, func(p Peer) bool { return !p.NoFailover && !p.Receiver }) {
		refuse("", "take nofailover from one of them", "no member may ever be primary")
	}
}

func refuseMembers(a Ask, refuse refuser) {
	var first Report
	primaries := []string{}
	for _, m := range a.Members {
		if !m.Reached {
			refuse(m.Name, "start it, or take it out of the file", "does not answer")
			continue
		}
		if first.Name == "" {
			first = m
		}
		switch {
		case m.SystemID != first.SystemID:
			refuse(m.Name, "make it anew: backstay cluster add-replica "+m.Name, "has system id %s, %s has %s: it is no copy of the same server", m.SystemID, first.Name, first.SystemID)
		case m.Major != first.Major:
			refuse(m.Name, "a physical replica runs its primary's major version", "runs PostgreSQL %d, %s runs %d", m.Major, first.Name, first.Major)
		}
		if m.Owner != "" && m.Owner != a.Config.Cluster {
			refuse(m.Name, "take it out of that cluster first", "belongs to cluster %s, whose agent holds it", m.Owner)
		}
		if m.Agent && !m.Checksums {
			refuse(m.Name, "ALTER SYSTEM SET wal_log_hints = on, and restart; or enable checksums", "neither checksums nor wal_log_hints are on: as an old primary it could not be rewound")
		}
		for _, sql := range m.Missing {
			refuse(m.Name, sql, "lacks a right or a setting")
		}
		if m.Primary {
			primaries = append(primaries, m.Name)
		}
	}
	if len(primaries) > 1 {
		refuse("", "stop all but the right one; rejoin the others", "%v are all primaries", primaries)
	}
}

func refusePromises(a Ask, refuse refuser) {
	c := a.Config
	for _, p := range c.Peers {
		if p.Bare && p.Guard {
			refuse(p.Name, "run an agent on its host, or take guard away", "is reached over SQL alone: a guard is part of an agent")
		}
	}
	others := len(c.Peers) - 1
	switch {
	case c.MaxLoss == 0 && c.Sync == 0 && !c.Manual:
		refuse("", "set sync: 1, or say how much may be lost with max_loss", "max_loss 0 needs synchronous replication, and none is asked for")
	case c.Sync > others:
		refuse("", fmt.Sprintf("at most %d", others), "sync: %d, but a primary has %d other members", c.Sync, others)
	case c.Sync > 0 && c.Sync == others && others > 0 && !c.Degraded:
		refuse("", "add a member or Backstay's receiver, or allow degraded", "sync: %d of %d: the loss of any member stops all writes", c.Sync, others)
	}
	if c.Manual || c.Sync > 0 || c.Unfenced {
		return
	}
	for _, p := range c.Peers {
		if !p.Guard && !p.Receiver {
			refuse(p.Name, "run an agent with a guard there, or use synchronous replication, or say unfenced: true",
				"nobody can stop it when it is cut off, and with asynchronous replication it would go on answering: automatic failover is unsafe")
		}
	}
}
