package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// fit says why a member could not be primary, or nothing.
func (l *look) unfit(f *Fact) string {
	p := l.cfg.peer(f.Name)
	switch {
	case p.Receiver:
		return "is a receiver"
	case p.NoFailover && !l.wanted(f.Name):
		return "is marked nofailover"
	case !l.fresh(f):
		return "does not answer"
	case f.Blank:
		return "has no whole log"
	case f.Stalled != Never && l.now-f.Stalled >= l.cfg.After:
		return "has a disk that takes no writes"
	case f.Received.Timeline > l.state.Timeline:
		return "stands on a timeline that this cluster never began"
	default:
		return ""
	}
}

func (l *look) wanted(name string) bool { return l.state.Request != nil && l.state.Request.To == name }

// planned: a switchover that stops the old primary itself, as long as that may take.
func (l *look) planned() bool {
	return l.state.Request != nil && l.state.Request.Kind == Switchover && l.now-l.view.Since < l.cfg.Patience && !l.cfg.peer(l.state.Primary).Bare
}

// handover: a planned change in which the old primary has promised, so that it has stopped and told all that it can have acknowledged, and who
// is to follow it has that. Nobody's promise would tell more, and nobody can acknowledge anything to a server that is gone: the next one
// promises when it is promoted, the others when they follow it.
func (l *look) handover() bool {
	if !l.planned() || !l.promised(l.state.Primary) {
		return false
	}
	to := l.view.fact(l.state.Request.To)
	return l.unfit(to) == "" && to.Role == Standby && !to.Received.Before(l.required())
}

// candidate is the best of those that promised: the wanted one; then others before the old primary; then by position, then priority. One whose disk
// has no room for the log that a new primary writes at once comes last, where promises tell what was acknowledged: who has less is filled.
func (l *look) candidate() *Fact {
	var best *Fact
	for i := range l.view.Facts {
		f := &l.view.Facts[i]
		if l.unfit(f) != "" || !l.promised(f.Name) && !(l.wanted(f.Name) && l.handover()) {
			continue
		}
		if best == nil || l.better(f, best) {
			best = f
		}
	}
	return best
}

func (l *look) better(f, g *Fact) bool {
	room := flag(g.Full) - flag(f.Full)
	return cmp.Or(
		flag(l.wanted(f.Name))-flag(l.wanted(g.Name)),
		flag(g.Name == l.state.Primary)-flag(f.Name == l.state.Primary),
		room*flag(l.cfg.Sync > 0),
		f.Received.Compare(g.Received),
		room,
		l.cfg.peer(f.Name).Priority-l.cfg.peer(g.Name).Priority,
	) > 0
}

// awaited names a member that is worth a moment's wait, since it answers, would be preferred, and has not promised yet; or nothing.
func (l *look) awaited() string {
	if l.now-l.view.Since >= l.cfg.Patience || l.handover() {
		return ""
	}
	best := l.candidate()
	for i := range l.view.Facts {
		f := &l.view.Facts[i]
		if l.unfit(f) != "" || l.promised(f.Name) || f.Name == l.state.Primary {
			continue
		}
		if l.wanted(f.Name) || best == nil || best.Name == l.state.Primary {
			return f.Name
		}
	}
	return ""
}

// promisesMayCome: a member answers, and has had less than Patience to promise.
func (l *look) promisesMayCome() bool {
	return l.now-l.view.Since < l.cfg.Patience && slices.ContainsFunc(l.view.Facts, func(f Fact) bool {
		return l.fresh(&f) && !f.Blank && !l.promised(f.Name)
	})
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// shortfall is the Fill that the candidate needs before it has all that was acknowledged, as far as anybody has it; the zero Action where it has.
func (l *look) shortfall() Action {
	c, need := l.candidate(), l.required()
	if c == nil {
		return Action{}
	}
	for i := range l.view.Facts {
		if f := &l.view.Facts[i]; c.Received.Before(need) && l.promised(f.Name) && !f.Received.Before(need) {
			return Action{Verb: Fill, Epoch: l.state.Epoch, Member: c.Name, From: f.Name, Upto: need}
		}
	}
	if l.worthFetching(c) {
		return Action{Verb: Fill, Epoch: l.state.Epoch, Member: c.Name, From: Repository, Upto: l.view.Stored}
	}
	return Action{}
}

// worthFetching: the old primary may have acknowledged what no promise tells of, and a repository has more of its log than the candidate. It
// may be out of reach, so it is waited for only as long as Patience, unless more than may be lost would be lost without it.
func (l *look) worthFetching(c *Fact) bool {
	if l.withStored(c.Received) == c.Received {
		return false
	}
	for _, q := range l.state.Quorums {
		if _, ok := l.covers(q); ok {
			continue
		}
		return l.now-l.view.Since < l.cfg.Patience || !l.loses() && l.lossOf(c.Received, l.lastKnown()) > l.cfg.MaxLoss
	}
	return false
}

// withStored is what a log that ends at have becomes with what the repository has of the same timeline.
func (l *look) withStored(have history.Position) history.Position {
	if s := l.view.Stored; s.Timeline == have.Timeline && have.Before(s) {
		return s
	}
	return have
}

// hindrance says, before a claim, why nobody could take over after it; a claim would only take away what may still work.
func (l *look) hindrance() string {
	if len(l.able()) == 0 {
		return "no other member is fit to be primary"
	}
	if l.loses() {
		return ""
	}
	for _, q := range l.state.Quorums {
		if why := l.outOfReach(q); why != "" {
			return why
		}
	}
	return ""
}

// able are the members that could take over from the primary.
func (l *look) able() (names []string) {
	for i := range l.view.Facts {
		if f := &l.view.Facts[i]; f.Name != l.state.Primary && l.unfit(f) == "" && !l.tooFar(f) {
			names = append(names, f.Name)
		}
	}
	return names
}

// unsuited says why the member that a failover is asked for could not take over, and who could; or nothing. Who named one does not want another.
func (l *look) unsuited() string {
	to := l.state.Request.To
	if to == "" {
		return ""
	}
	f, why := l.view.fact(to), ""
	switch {
	case l.cfg.peer(to).Name == "":
		why = "is no member"
	case to == l.state.Primary:
		why = "is the primary already"
	case l.unfit(f) != "":
		why = l.unfit(f)
	case l.tooFar(f):
		why = fmt.Sprintf("has %s, %s had reached %s: more than the %d bytes that may be lost", f.Received.Plain(), l.state.Primary, l.state.Reached.Plain(), l.cfg.MaxLoss)
	default:
		return ""
	}
	if able := l.able(); len(able) > 0 {
		return fmt.Sprintf("%s %s; fit is %s", to, why, strings.Join(able, ", "))
	}
	return to + " " + why + "; nor is any other member fit"
}

// refusal says why a failover that is asked for does not begin.
func (l *look) refusal() string { return cmp.Or(l.unsuited(), l.hindrance()) }

// Hindrance says of a cluster that serves why nobody could take over by itself if its primary were lost now, or nothing: also where no other member
// may ever be primary, or failover is left to people.
func Hindrance(cfg Config, s State, v View, now time.Duration) string {
	heir := func(p Peer) bool { return p.Name != s.Primary && !p.Receiver && !p.NoFailover }
	if s.Phase != Serving || cfg.Manual || !slices.ContainsFunc(cfg.Peers, heir) || now-v.Began < cfg.After {
		return ""
	}
	s.Request, v.Facts = nil, slices.Clone(v.Facts)
	for i := range v.Facts {
		if v.Facts[i].Name == s.Primary {
			v.Facts[i].Answered = Never
		}
	}
	l := &look{cfg: cfg, state: s, view: v, now: now}
	return l.hindrance()
}

func (l *look) outOfReach(q Quorum) string {
	if f := l.view.fact(q.Primary); l.fresh(f) && f.Stalled == Never && !l.cfg.peer(q.Primary).Bare {
		return "" // it answers: it can be fenced, and tell its position
	}
	n := 0
	for _, name := range q.Names {
		if f := l.view.fact(name); l.fresh(f) && !f.Blank {
			n++
		}
	}
	switch {
	case q.Witnesses() > 0 && n >= q.Witnesses():
		return ""
	case q.Witnesses() > 0:
		return fmt.Sprintf("%d of %v answer, %d are needed to know what %s acknowledged", n, q.Names, q.Witnesses(), q.Primary)
	case l.cfg.MaxLoss == 0:
		return q.Primary + " acknowledged by itself alone, and nothing may be lost"
	case l.cfg.Unfenced || l.guarded(q.Primary):
		return ""
	default:
		return q.Primary + " can't be fenced: no agent answers there, no guard stops it, and replication is asynchronous"
	}
}

func (l *look) tooFar(f *Fact) bool {
	return l.cfg.MaxLoss > 0 && l.cfg.Sync == 0 && !l.loses() && l.state.Reached.Seq > l.withStored(f.Received).Seq+l.cfg.MaxLoss
}
