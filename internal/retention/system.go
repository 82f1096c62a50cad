package retention

import (
	"fmt"
	"slices"
)

// system is one server or file, as its identifier says, with its bases.
type system struct {
	id     string
	usable []*base // newest first
	late   []*base // newer than every usable one
}

// systemsOf sorts bases by system, the one with the newest base first.
func systemsOf(bases []*base) []*system {
	var all []*system
	for _, b := range slices.Backward(bases) {
		i := slices.IndexFunc(all, func(s *system) bool { return s.id == b.SystemID })
		if i < 0 {
			i = len(all)
			all = append(all, &system{id: b.SystemID})
		}
		switch s := all[i]; {
		case b.fault == "":
			s.usable = append(s.usable, b)
		case len(s.usable) == 0:
			s.late = append(s.late, b)
		}
	}
	return all
}

// counts applies the rules that count bases. Those of a system that the source has left count until newer ones have as
// many.
func (d *decider) counts(s *system, newer []*system) {
	if len(newer) == 0 {
		for _, b := range s.late {
			d.keep(b, "newer than every base that can be recovered", onward)
		}
	}
	standIns := 0
	for _, n := range newer {
		standIns += len(n.usable)
	}
	if standIns < d.rules.Last {
		d.newest(s, d.rules.Last, fmt.Sprintf("one of the last %d", d.rules.Last), len(newer) > 0)
	}
	if n := d.rules.minimum(); standIns < n {
		d.newest(s, n, fmt.Sprintf("the minimum is %d", n), len(newer) > 0)
	}
}

// newest keeps the newest n bases of a system.
func (d *decider) newest(s *system, n int, rule string, left bool) {
	if left {
		rule += " of system " + s.id + ", until newer ones can stand in"
	}
	for _, b := range s.usable[:min(n, len(s.usable))] {
		d.keep(b, rule, onward)
	}
}

// calendar keeps the newest base of each period. For a system that the source has left the periods count back from now,
// so that its bases end one day; else only those that have a base count.
func (d *decider) calendar(s *system, left bool) {
	log := toStop
	if d.rules.Log == LogOnward {
		log = onward
	}
	for _, p := range d.rules.periods() {
		recent := p.since(d.now.In(d.rules.zone()))
		taken := map[string]bool{}
		for _, b := range s.usable {
			name := p.name(b.StopTime.In(d.rules.zone()))
			if taken[name] || left && !recent[name] {
				continue
			}
			if !left && len(taken) == p.count {
				break
			}
			taken[name] = true
			d.keep(b, p.word+" "+name, log)
		}
	}
}
