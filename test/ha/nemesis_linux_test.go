package ha

import (
	"slices"
	"time"
)

// nemesis is something bad, or planned, that happens to a cluster whose primary is on a host. over, if it is not nil, ends it
// after a while.
type nemesis struct {
	name    string
	do      func(s *site, primary string)
	lasts   time.Duration
	over    func(s *site, primary string)
	changes bool          // another member must be primary afterwards
	rounds  int           // how often it happens in a short run; zero: once
	brief   int           // and in TestBriefly; zero: never
	planned bool          // no request may fail
	disk    bool          // it needs a disk that can be frozen
	within  time.Duration // the longest gap between writes that is right; zero: any
	goal    time.Duration // what 99 of 100 such gaps shall not exceed on a machine that does nothing else; zero: none
}

// most is what a write may wait for when the primary is lost: the goal is three seconds on a machine that does nothing
// else. Eleven servers and daemons on two processors get more.
const most = 8 * time.Second

// missing is the goal for a primary that is lost, for 99 of 100 losses.
const missing = 3 * time.Second

var nemeses = []nemesis{
	{name: "the primary's server is killed", do: func(s *site, p string) { s.members[p].crash() }, within: most, goal: missing, brief: 2},
	{name: "the primary's host is killed", do: func(s *site, p string) { s.lab.Host(p).Kill() }, changes: true, within: most, goal: missing, rounds: 2, brief: 2},
	{name: "the primary's host is cut off", do: func(s *site, p string) { s.lab.Isolate(p) }, lasts: 6 * time.Second, over: healed, changes: true, within: most, goal: missing, rounds: 2, brief: 2},
	{name: "nothing reaches the primary's host", do: func(s *site, p string) { s.cut(p, false) }, lasts: 6 * time.Second, over: healed, changes: true, within: most},
	{name: "nothing leaves the primary's host", do: func(s *site, p string) { s.cut(p, true) }, lasts: 6 * time.Second, over: healed, changes: true, within: most},
	{name: "connections to the primary's host are refused", do: func(s *site, p string) { s.refuse(p) }, lasts: 6 * time.Second, over: healed, changes: true, within: most},
	{name: "the primary's host is frozen", do: func(s *site, p string) { s.lab.Host(p).Freeze() }, lasts: 6 * time.Second, over: func(s *site, p string) { s.lab.Host(p).Thaw() }, changes: true, within: most},
	{name: "the primary's disk is frozen", do: func(s *site, p string) { s.disks[p].Freeze() }, lasts: 8 * time.Second, over: func(s *site, p string) { s.disks[p].Thaw() }, changes: true, within: most, goal: missing, rounds: 2, brief: 2, disk: true},
	{name: "the primary's agent is killed", do: func(s *site, p string) { s.daemons[p].Kill() }, within: most},
	{name: "the primary's agent is frozen", do: func(s *site, p string) { s.freeze(p) }, lasts: 6 * time.Second, over: func(s *site, p string) { s.thaw(p) }, within: most},
	{name: "a voter's host is killed", do: func(s *site, _ string) { s.lab.Host("v1").Kill() }, within: most},
	{name: "a voter is frozen", do: func(s *site, _ string) { s.freeze("v2") }, lasts: 4 * time.Second, over: func(s *site, _ string) { s.thaw("v2") }, within: most},
	{name: "two voters are killed", do: func(s *site, _ string) { s.lab.Host("v1").Kill(); s.lab.Host("v2").Kill() }, lasts: 4 * time.Second, over: nil, within: most},
	{name: "a replica's host is killed", do: func(s *site, p string) { s.lab.Host(s.other(p)).Kill() }, within: most},
	{name: "a replica is away, then the primary's host is killed", do: func(s *site, p string) { s.away(p) }, over: func(s *site, p string) { s.serving(20*time.Second, s.members[p].name); s.daemon(s.other(p)) }, changes: true, brief: 1},
	{name: "a listener is cut off from the primary", do: func(s *site, p string) { s.lab.Part([]string{"a1"}, []string{p}) }, lasts: 4 * time.Second, over: healed},
	{name: "the primary is changed as planned", do: func(s *site, p string) { s.switchover(p) }, changes: true, planned: true, within: most},
}

func healed(s *site, _ string) { s.lab.Heal() }

// cut cuts a host off in one direction.
func (s *site) cut(host string, out bool) {
	s.t.Helper()
	for _, other := range slices.Concat(voters, bases, listeners) {
		switch {
		case other == host:
		case out:
			s.lab.Cut(host, other)
		default:
			s.lab.Cut(other, host)
		}
	}
}

// refuse has nobody reach a host, and know it at once.
func (s *site) refuse(host string) {
	s.t.Helper()
	for _, other := range slices.Concat(voters, bases, listeners) {
		if other != host {
			s.lab.Refuse(other, host)
		}
	}
}

func (s *site) freeze(host string) {
	s.t.Helper()
	if err := s.daemons[host].Freeze(); err != nil {
		s.t.Errorf("freeze the daemon of %s: %v", host, err)
	}
}

func (s *site) thaw(host string) {
	s.t.Helper()
	if err := s.daemons[host].Thaw(); err != nil {
		s.t.Errorf("thaw the daemon of %s: %v", host, err)
	}
}

// other is a host with a server, and not the one.
func (s *site) other(one string) string {
	for _, host := range s.servers {
		if host != one {
			return host
		}
	}
	return ""
}

// away takes a replica's host, and when commits have not waited for it for a while the primary's.
func (s *site) away(primary string) {
	s.lab.Host(s.other(primary)).Kill()
	time.Sleep(6 * time.Second)
	s.lab.Host(primary).Kill()
}

func (s *site) switchover(from string) {
	s.t.Helper()
	to := s.members[s.other(from)].name
	if out, err := s.backstay(s.desk(), "switchover", "shop", "--to", to, "--reason", "a test"); err != nil {
		s.t.Errorf("switchover: %v\n%s", err, out)
	}
}
