package cluster

import (
	"fmt"
	"time"
)

// look is one decision's sight of the world.
type look struct {
	cfg   Config
	state State
	view  View
	now   time.Duration
}

// condition is a named question. The names are the labels of the diagram.
type condition struct {
	name  string
	not   bool
	holds func(*look) bool
}

func not(c condition) condition {
	c.not = !c.not
	return c
}

func (c condition) String() string {
	if c.not {
		return "not " + c.name
	}
	return c.name
}

var (
	onePrimary   = condition{name: "one primary answers", holds: func(l *look) bool { return l.onlyPrimary() != nil }}
	lost         = condition{name: "primary lost", holds: func(l *look) bool { return l.lost() != "" }}
	takeable     = condition{name: "another can take over", holds: func(l *look) bool { return l.hindrance() == "" }}
	namedFit     = condition{name: "who is asked for is fit", holds: func(l *look) bool { return l.unsuited() == "" }}
	automatic    = condition{name: "automatic", holds: func(l *look) bool { return !l.cfg.Manual && !l.state.Paused }}
	asked        = condition{name: "request", holds: func(l *look) bool { return l.state.Request != nil }}
	askedFail    = condition{name: "failover asked", holds: func(l *look) bool { return l.state.Request != nil && l.state.Request.Kind == Failover }}
	targetReady  = condition{name: "target ready", holds: func(l *look) bool { return l.unready() == "" }}
	lookedAt     = condition{name: "looked at since it was asked", holds: (*look).lookedAt}
	readied      = condition{name: "prepared", holds: (*look).readied}
	settled      = condition{name: "quorum took over", holds: (*look).settled}
	quorumDiffer = condition{name: "quorum to change", holds: (*look).quorumDiffers}
	overdue      = condition{name: "overdue", holds: func(l *look) bool { return l.now-l.view.Since >= l.cfg.DrainFor }}
	drained      = condition{name: "drained", holds: (*look).drained}
	caughtUp     = condition{name: "target caught up", holds: (*look).caughtUp}
	routesShut   = condition{name: "routes closed", holds: func(l *look) bool { return l.openRoutes() == "" }}
	cutOff       = condition{name: "old primary cut off", holds: func(l *look) bool { return l.uncut() == "" }}
	accounted    = condition{name: "writes accounted for", holds: func(l *look) bool { return l.unaccounted() == "" }}
	chosenCame   = condition{name: "favourites have promised", holds: func(l *look) bool { return l.awaited() == "" }}
	candidate    = condition{name: "candidate", holds: func(l *look) bool { return l.candidate() != nil }}
	complete     = condition{name: "candidate complete", holds: func(l *look) bool { return l.shortfall().Verb == "" }}
	isUp         = condition{name: "new primary up", holds: (*look).up}
	failing      = condition{name: "candidate fails", holds: func(l *look) bool { return l.failing() != "" }}
)

func (l *look) fresh(f *Fact) bool { return l.now-f.Answered <= l.cfg.After }

// lost says why the primary counts as lost, or nothing. Silence towards this observer alone is not death.
func (l *look) lost() string {
	p := l.view.fact(l.state.Primary)
	switch {
	case p.Answered > l.view.Since && l.fresh(p) && p.Role != Primary:
		return fmt.Sprintf("%s answers that its server is %s", l.state.Primary, p.Role)
	case l.fresh(p) && p.Stalled != Never && l.now-p.Stalled >= l.cfg.After:
		return fmt.Sprintf("%s has taken no write to its disk for %s", l.state.Primary, short(l.now-p.Stalled))
	}
	silent := l.now - max(p.Answered, l.view.Began)
	if silent < l.cfg.After || l.heardElsewhere() {
		return ""
	}
	return fmt.Sprintf("%s was silent for %s (limit %s), and nobody else heard it", l.state.Primary, short(silent), short(l.cfg.After))
}

// heardElsewhere asks the proxies, which carry the clients; only where none answers do the replicas and the beat speak for a primary.
func (l *look) heardElsewhere() bool {
	reporting := false
	for i := range l.view.Proxies {
		p := &l.view.Proxies[i]
		if l.now-p.Answered > l.cfg.After {
			continue
		}
		reporting = true
		if l.now-max(p.Heard, l.view.Since) < l.cfg.After {
			return true
		}
	}
	if reporting {
		return false
	}
	for i := range l.view.Facts {
		f := &l.view.Facts[i]
		if l.fresh(f) && f.Role == Standby && f.Following == l.state.Primary && l.now-f.Heard < l.cfg.After {
			return true
		}
	}
	return l.now-l.view.BeatSeen < l.cfg.After
}

// onlyPrimary wants all members to be seen once, and to be copies of one server. One without any data is none of another server: it is filled once there is
// a primary.
func (l *look) onlyPrimary() *Fact {
	var found *Fact
	system := ""
	for i := range l.view.Facts {
		f := &l.view.Facts[i]
		if !l.fresh(f) {
			return nil
		}
		if f.Blank && f.SystemID == "" && f.Role != Primary {
			continue
		}
		if system == "" {
			system = f.SystemID
		}
		if f.SystemID != system {
			return nil
		}
		if f.Role == Primary {
			if found != nil {
				return nil
			}
			found = f
		}
	}
	return found
}

// up: it answers as primary of this epoch, since this observer saw the phase.
func (l *look) up() bool {
	f := l.view.fact(l.state.Primary)
	return l.fresh(f) && f.Role == Primary && f.Epoch == l.state.Epoch
}

func (l *look) failing() string {
	f := l.view.fact(l.state.Primary)
	switch {
	case l.now-max(f.Answered, l.view.Since) >= l.cfg.After:
		return fmt.Sprintf("%s was silent for %s while it was promoted", l.state.Primary, short(l.cfg.After))
	case l.now-l.view.Since >= l.cfg.Patience:
		return fmt.Sprintf("%s did not become primary within %s", l.state.Primary, short(l.cfg.Patience))
	default:
		return ""
	}
}

// unready says why a switchover can't begin, or nothing.
func (l *look) unready() string {
	to := l.state.Request.To
	if to == l.state.Primary {
		return to + " is the primary already"
	}
	f, p := l.view.fact(to), l.view.fact(l.state.Primary)
	switch {
	case l.cfg.peer(to).Name == "" || l.cfg.peer(to).Receiver:
		return fmt.Sprintf("%q is no member that can be primary", to)
	case !l.fresh(p):
		return l.state.Primary + " does not answer"
	case l.lost() != "":
		return l.lost()
	case !l.fresh(f):
		return to + " does not answer"
	case f.Role != Standby || f.Following != l.state.Primary || f.Blank:
		return to + " does not follow " + l.state.Primary
	case f.Full:
		return "the disk of " + to + " has hardly any room left"
	case l.cfg.peer(l.state.Primary).Bare && l.last().Witnesses() == 0 && !(l.cfg.Unfenced && l.cfg.MaxLoss > 0):
		return l.state.Primary + " has no agent that could stop it, and replication is asynchronous: only with sync, or with unfenced and max_loss, can its place be given away"
	case p.Received.Seq > f.Received.Seq+l.cfg.Lagging:
		return fmt.Sprintf("%s is %d bytes behind", to, p.Received.Seq-f.Received.Seq)
	default:
		return ""
	}
}

// lookedAt: both members have answered since the request was seen, or had the time: a member that came back a moment ago may look as it
// was before.
func (l *look) lookedAt() bool {
	f, p := l.view.fact(l.state.Request.To), l.view.fact(l.state.Primary)
	return f.Answered > l.view.Asked && p.Answered > l.view.Asked || l.now-l.view.Asked >= l.cfg.After
}

// readied: every life of a proxy that may carry has its sessions logged in where the request leads, and the primary is prepared, or they had
// the time. Nothing rests on it.
func (l *look) readied() bool {
	if l.now-l.view.Asked >= l.cfg.Ahead {
		return true
	}
	for _, id := range l.state.Proxies {
		if p := l.view.proxy(id); p == nil || p.Ready != l.state.Request.To {
			return false
		}
	}
	return l.view.fact(l.state.Primary).Prepared || l.cfg.peer(l.state.Primary).Bare
}

// drained: every life of a proxy that may carry has said, of this very route, that no transaction is open.
func (l *look) drained() bool {
	for _, id := range l.state.Proxies {
		p := l.view.proxy(id)
		if p == nil || p.Epoch != l.state.Epoch || p.Drained < l.state.Step {
			return false
		}
	}
	return true
}

func (l *look) caughtUp() bool {
	f, p := l.view.fact(l.state.Request.To), l.view.fact(l.state.Primary)
	return f.Answered > l.view.Since && p.Answered > l.view.Since && !f.Received.Before(p.Received)
}

func short(d time.Duration) string { return d.Round(time.Millisecond).String() }
