package cluster

import (
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/route"
)

// Changes of the state. Slices in a State are never changed in place: other copies share them.

func keep(*look, *State) {}

func withdraw(_ *look, s *State) { s.Request = nil }

func claim(_ *look, s *State) { s.Epoch++ }

// claimUnplanned drops what was asked for. That something may be lost is accepted until somebody serves.
func claimUnplanned(l *look, s *State) {
	claim(l, s)
	if !l.loses() {
		s.Request = nil
	}
}

func adopt(l *look, s *State) {
	p := l.onlyPrimary()
	s.Epoch++
	s.Primary, s.Timeline = p.Name, max(s.Timeline, p.Received.Timeline)
	s.Quorums = []Quorum{l.wish(s.Epoch, p.Name, len(l.cfg.Peers)-1)}
	if s.Quorums[0].K > 0 {
		s.Quorums = append([]Quorum{l.unasked(s.Epoch, p.Name)}, s.Quorums...)
	}
}

func appoint(l *look, s *State) {
	c, able := l.candidate(), 0
	for i := range l.view.Facts {
		if f := &l.view.Facts[i]; f.Name != c.Name && l.fresh(f) && (f.Promised >= s.Epoch || f.Role == Standby && l.handover()) {
			able++
		}
	}
	s.Risk = l.risk(c)
	s.Primary = c.Name
	s.Start = c.Received
	s.Timeline++
	s.Quorums = append(slices.Clone(s.Quorums), l.wish(s.Epoch, c.Name, able))
	s.Proxies = l.closedProxies()
}

// closedProxies are the lives that have confirmed and answer: they will ask the next holder for a route at once, and find that they are
// recorded. Each that is recorded and gone would have to be waited for.
func (l *look) closedProxies() (all []route.ID) {
	for _, id := range l.state.Proxies {
		if p := l.view.proxy(id); p != nil && p.Closed >= l.state.Epoch && l.now-p.Answered < l.cfg.After {
			all = append(all, id)
		}
	}
	return all
}

func open(_ *look, s *State) { s.Request = nil }

func addQuorum(l *look, s *State) {
	next := l.wished(l.view.fact(s.Primary))
	s.Quorums = append(slices.DeleteFunc(slices.Clone(s.Quorums), next.like), next) // who satisfies it satisfies those like it
}

func dropQuorums(l *look, s *State) { s.Quorums = []Quorum{l.last()} }

// Steps under a state.

// settling is how long after a promotion clients are spared what others would take from them.
const settling = 500 * time.Millisecond

func upkeep(l *look) []Action {
	acts := l.followers()
	if l.now-l.view.Since < settling {
		acts = l.spared(acts)
	}
	if p := l.view.fact(l.state.Primary); l.fresh(p) && p.Role == Primary && p.Epoch == l.state.Epoch && !p.Counting.Is(l.last()) {
		acts = append(acts, Action{Verb: Count, Epoch: l.state.Epoch, Member: l.state.Primary, Quorum: l.last()})
	}
	return acts
}

// prepare does ahead what clients would wait for: their sessions are held when it is done.
func prepare(l *look) []Action {
	acts := upkeep(l)
	if p := l.view.fact(l.state.Primary); l.fresh(p) && !p.Prepared && !l.cfg.peer(p.Name).Bare {
		acts = append(acts, Action{Verb: Prepare, Epoch: l.state.Epoch, Member: l.state.Primary})
	}
	return acts
}

func (l *look) followers() []Action {
	var acts []Action
	for i := range l.view.Facts {
		f := &l.view.Facts[i]
		if f.Name == l.state.Primary || !l.fresh(f) || f.Following == l.state.Primary && f.Promised >= l.state.Epoch {
			continue
		}
		acts = append(acts, Action{Verb: Follow, Epoch: l.state.Epoch, Member: f.Name, From: l.state.Primary})
	}
	return acts
}

func holdRoutes(l *look) []Action {
	var acts []Action
	for _, id := range l.state.Proxies {
		if p := l.view.proxy(id); p == nil || p.Epoch != l.state.Epoch || p.Drained < l.state.Step {
			acts = append(acts, Action{Verb: Close, Epoch: l.state.Epoch, Proxy: id})
		}
	}
	return acts
}

// fenceAll fences everyone, again and again until each has said so. In a planned change the old primary first, alone: what its
// standbys have then received is all there is, and it can follow without a rewind.
func fenceAll(l *look) []Action {
	acts := closeRoutes(l)
	alone := l.planned() && (l.view.fact(l.state.Primary).Promised < l.state.Epoch || l.handover())
	for _, p := range l.cfg.Peers {
		f := l.view.fact(p.Name)
		if f.Promised >= l.state.Epoch && f.Role != Primary {
			continue
		}
		if alone && p.Name != l.state.Primary {
			continue
		}
		acts = append(acts, Action{Verb: Fence, Epoch: l.state.Epoch, Member: p.Name})
	}
	return acts
}

func closeRoutes(l *look) []Action {
	var acts []Action
	for _, id := range l.state.Proxies {
		if p := l.view.proxy(id); p == nil || p.Closed < l.state.Epoch {
			acts = append(acts, Action{Verb: Close, Epoch: l.state.Epoch, Proxy: id})
		}
	}
	return acts
}

// fillUp has the candidate filled. From a server that does not run only when nobody else may still promise: it takes time to come up, and has
// most often a few bytes that nobody was told of, which do not count once enough others have promised.
func fillUp(l *look) []Action {
	fill := l.shortfall()
	if l.view.fact(fill.From).Role == Stopped && l.promisesMayCome() {
		return fenceAll(l)
	}
	return append(fenceAll(l), fill)
}

// spared leaves out who does not run, if there are others that commits can wait for: its start takes the disk's time from those who begin again
// on the same machine, and is waited for by nobody.
func (l *look) spared(acts []Action) []Action {
	others := 0
	for i := range l.view.Facts {
		if f := &l.view.Facts[i]; f.Name != l.state.Primary && l.fresh(f) && f.Role == Standby {
			others++
		}
	}
	if others < max(l.last().K, 1) {
		return acts
	}
	return slices.DeleteFunc(acts, func(a Action) bool { return l.view.fact(a.Member).Role == Stopped })
}

// promote has the candidate promoted, and the others follow it already: commits will wait for one of them.
func promote(l *look) []Action {
	acts := l.spared(l.followers())
	return append(acts, Action{Verb: Promote, Epoch: l.state.Epoch, Member: l.state.Primary, Upto: l.state.Start, Timeline: l.state.Timeline, Quorum: l.last()})
}
