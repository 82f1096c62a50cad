package cluster

import "slices"

// A quorum is changed in three steps, whether it grows or shrinks: the new one is recorded beside the old; the primary's server
// is told; when the new one's members have flushed what the server had at that moment, the old one is dropped. In between a new
// primary must satisfy both. So there is no order of growing or shrinking to get wrong.

func (l *look) last() Quorum {
	if len(l.state.Quorums) == 0 {
		return Quorum{}
	}
	return l.state.Quorums[len(l.state.Quorums)-1]
}

// wish is the quorum that member should count, given how many could answer it. A member whose log is not whole, because it is copied anew for hours
// perhaps, is left out where enough others are there: its promise would prove nothing, and the quorum's other members could then not say what was
// acknowledged. It is named again when its log is whole.
func (l *look) wish(epoch uint64, member string, able int) Quorum {
	q := Quorum{Step: l.state.Step + 1, Epoch: epoch, Primary: member, K: l.cfg.Sync}
	if l.cfg.Degraded && able < q.K {
		q.K = able
	}
	var whole []string
	for _, p := range l.cfg.Peers {
		if p.Name == member {
			continue
		}
		q.Names = append(q.Names, p.Name)
		if !l.view.fact(p.Name).Blank {
			whole = append(whole, p.Name)
		}
	}
	if q.K > 0 && len(whole) >= q.K {
		q.Names = whole
	}
	slices.Sort(q.Names)
	return q
}

// unasked is the quorum of a primary that is adopted as it runs: what it acknowledged so far it may have acknowledged by itself alone. It is
// dropped like any other, when the first one that was asked for has all that.
func (l *look) unasked(epoch uint64, member string) Quorum {
	q := l.wish(epoch, member, 0)
	q.Step, q.K = l.state.Step, 0
	return q
}

func (l *look) quorumDiffers() bool {
	p := l.view.fact(l.state.Primary)
	if len(l.state.Quorums) > 1 && !l.stuck() || !l.fresh(p) || p.Role != Primary || p.Epoch != l.state.Epoch {
		return false
	}
	return !l.wished(p).like(l.last())
}

// stuck: the last quorum has too few members that are there, so it may never have what the ones before it have, and be the only one. Another one is
// recorded beside them all then, or the primary would wait for members that do not come although it may go on without, or others do.
func (l *look) stuck() bool {
	q, n := l.last(), 0
	for _, name := range q.Names {
		if l.there(name) {
			n++
		}
	}
	return n < q.K
}

// wished follows what the primary sees, but goes down only after it has lasted, by the primary's own word: a standby that connects again is not
// missing, and a primary that is lost meanwhile, with its disk perhaps, did not go on alone.
func (l *look) wished(p *Fact) Quorum {
	able := len(p.Streams)
	if p.Short == Never || p.Answered-p.Short < l.cfg.Patience {
		able = max(able, l.last().K)
	}
	q := l.wish(l.state.Epoch, l.state.Primary, able)
	for _, fits := range []func(string) bool{l.there, l.named} { // where too few are there nothing is gained by a change
		names := slices.DeleteFunc(slices.Clone(q.Names), func(name string) bool { return !fits(name) || l.view.fact(name).Blank })
		if q.K > 0 && len(names) >= q.K {
			q.Names = names
			break
		}
	}
	return q
}

// there reports whether a member streams and answers, or did a moment ago. One that is away is left out of the quorum where enough others are there: it
// can't say what was acknowledged, and they would not be enough without it. It is away only after Patience, and named again as soon as it
// streams, so that one that comes and goes changes little.
func (l *look) there(name string) bool {
	f := l.view.fact(name)
	last := min(f.Streamed, f.Answered)
	if l.named(name) {
		last = max(last, l.view.Began, l.view.Since)
	}
	return l.now-last < l.cfg.Patience
}

func (l *look) named(name string) bool { return slices.Contains(l.last().Names, name) }

// settled: the server counts the last quorum, and so many of it have what the server had when it began to.
func (l *look) settled() bool {
	p, q := l.view.fact(l.state.Primary), l.last()
	if len(l.state.Quorums) < 2 || p.Role != Primary || p.Epoch != l.state.Epoch || !p.Counting.Is(q) {
		return false
	}
	n := 0
	for _, name := range q.Names {
		if at, ok := p.flushed(name); ok && !at.Before(p.Switched) {
			n++
		}
	}
	return n >= q.K
}
