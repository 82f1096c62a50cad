package cluster

import (
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// promised reports whether a member has promised the state's epoch with a whole log: what it told is the end of it as far as
// lower epochs go.
func (l *look) promised(name string) bool {
	f := l.view.fact(name)
	return f.Promised >= l.state.Epoch && f.Answered != Never && !f.Blank && f.Role != Primary
}

// witnesses counts the promises among a quorum's names, and the longest log among them.
func (l *look) witnesses(q Quorum) (n int, longest history.Position) {
	for _, name := range q.Names {
		if !l.promised(name) {
			continue
		}
		n++
		if at := l.view.fact(name).Received; longest.Before(at) {
			longest = at
		}
	}
	return n, longest
}

// covers reports whether all that q's primary ever acknowledged is known to lie at or before upto: by its witnesses or by itself.
func (l *look) covers(q Quorum) (upto history.Position, ok bool) {
	n, longest := l.witnesses(q)
	if w := q.Witnesses(); w > 0 && n >= w {
		return longest, true
	}
	if l.promised(q.Primary) {
		return l.view.fact(q.Primary).Received, true
	}
	return history.Position{}, false
}

// required is the position that a new primary must have reached.
func (l *look) required() history.Position {
	var need history.Position
	for _, q := range l.state.Quorums {
		if upto, ok := l.covers(q); ok && need.Before(upto) {
			need = upto
		}
	}
	return need
}

// unaccounted says which writes nobody can vouch for, or nothing.
func (l *look) unaccounted() string {
	if l.loses() && !l.promisesMayCome() {
		return ""
	}
	for _, q := range l.state.Quorums {
		if _, ok := l.covers(q); ok {
			continue
		}
		if l.cfg.MaxLoss > 0 && q.K == 0 {
			if why := l.beyondLoss(); why != "" {
				return why
			}
			continue
		}
		n, _ := l.witnesses(q)
		if q.Witnesses() == 0 {
			return fmt.Sprintf("%s acknowledged by itself alone; only it knows what", q.Primary)
		}
		return fmt.Sprintf("%d of %v promised epoch %d, %d are needed, or %s itself", n, q.Names, l.state.Epoch, q.Witnesses(), q.Primary)
	}
	return ""
}

// beyondLoss compares the best candidate with the last position that the primary is known to have reached.
func (l *look) beyondLoss() string {
	best := l.candidate()
	if best == nil {
		return "nobody can take over"
	}
	last := l.lastKnown()
	if l.lossOf(l.withStored(best.Received), last) > l.cfg.MaxLoss { // it is filled before it is promoted
		return fmt.Sprintf("%s has %s, %s had reached %s: more than the %d bytes that may be lost",
			best.Name, best.Received.Plain(), l.state.Primary, last.Plain(), l.cfg.MaxLoss)
	}
	return ""
}

// lastKnown is the furthest that the primary is known to have come.
func (l *look) lastKnown() history.Position {
	last := l.state.Reached
	for _, at := range []history.Position{l.view.fact(l.state.Primary).Received, l.view.Stored} {
		if last.Before(at) {
			last = at
		}
	}
	return last
}

// tenureOver reports whether the last holder's permission ended grace ago, by any clock that is no faster or slower than Drift allows.
//
// It had two ways to get one: a beat, which this observer saw at BeatSeen at the latest, and, without coordination, the word of
// every other member that it knows no newer epoch. One member that has promised ends the second way; what it said before is told as Vouched.
func (l *look) tenureOver(grace time.Duration) bool {
	over := l.cfg.tenure() + grace
	if l.now < l.view.BeatSeen+over {
		return false
	}
	others := 0
	for _, p := range l.cfg.Peers {
		if p.Name == l.state.Primary || p.Receiver {
			continue
		}
		others++
		f := l.view.fact(p.Name)
		if f.Answered != Never && f.Promised >= l.state.Epoch && l.now >= f.Vouched+over {
			return true
		}
	}
	return others == 0
}

// openRoutes says who may still carry for the old primary, or nothing.
func (l *look) openRoutes() string {
	open := ""
	for _, id := range l.state.Proxies {
		if p := l.view.proxy(id); p == nil || p.Closed < l.state.Epoch {
			open = id.String()
			break
		}
	}
	if open == "" || l.tenureOver(0) {
		return ""
	}
	return fmt.Sprintf("proxy %s has not confirmed that it is closed, and %s's tenure is not over", open, l.state.Primary)
}

// uncut says which old primary may still acknowledge a write to a client that bypasses the proxies, or nothing.
func (l *look) uncut() string {
	for _, q := range l.state.Quorums {
		if _, ok := l.cut(q); !ok {
			n, _ := l.witnesses(q)
			return fmt.Sprintf("%s may still acknowledge writes: it neither answers nor is guarded, and %d of its standbys are detached", q.Primary, n)
		}
	}
	return ""
}

// guarded reports whether a guard stops a member's server by the deadline: the file says so, and the member did not tell last that none runs.
func (l *look) guarded(name string) bool {
	return l.cfg.peer(name).Guard && !l.view.fact(name).Unguarded
}

// cut reports whether q's primary acknowledges nothing more to a client that bypasses the proxies, or a person answers for it. but says what a fence
// leaves open, or nothing.
func (l *look) cut(q Quorum) (but string, ok bool) {
	n, _ := l.witnesses(q)
	switch {
	case q.Witnesses() > 0 && n >= q.Witnesses():
		return "", true
	case l.view.fact(q.Primary).Promised >= l.state.Epoch && l.view.fact(q.Primary).Role != Primary:
		return "", true
	case l.guarded(q.Primary) && l.tenureOver(l.cfg.StopGrace):
		if l.cfg.peer(q.Primary).Watchdog {
			return "", true
		}
		return fmt.Sprintf("if %s's host stands still as a whole, its guard stops it when it goes on, and clients that bypass the proxies may be answered until then", q.Primary), true
	case l.cfg.Unfenced: // the routes are closed, which is a row of its own, and a person answers for the rest
		return "", true
	case l.loses() && l.tenureOver(l.cfg.StopGrace): // so does who asked; what has an agent that lives is stopped by then
		return "", true
	default:
		return "", false
	}
}

// lossOf is how many bytes of the history that ends at last are not in a log that ends at have. A log of the timeline before the
// newest shares that history up to the newest one's start at most; how much an
// older one shares is not recorded, so all counts as lost.
func (l *look) lossOf(have, last history.Position) uint64 {
	shared := have.Seq
	switch start := l.state.Start; {
	case have.Timeline >= last.Timeline:
	case have.Timeline >= start.Timeline:
		shared = min(shared, start.Seq)
	default:
		shared = 0
	}
	return last.Seq - min(shared, last.Seq)
}
