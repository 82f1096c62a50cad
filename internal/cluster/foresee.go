package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Forecast is what a decision leads to.
type Forecast struct {
	Row, Reason string // of the decision
	Steps       []string
	Primary     string           // who is made primary; empty: nobody
	Has         history.Position // the end of its log then
	Risk        string           // what may be lost then, or who may still write; empty: nothing and nobody
	End         string           // why it ends so, in one sentence
}

// Foresee runs Decide on until there is another primary, the cluster serves on as it is, or nothing leads further. It supposes that whoever answers
// now does what it is told, at once and with what it has now, and that whoever is silent stays so.
func Foresee(cfg Config, s State, v View, now time.Duration) Forecast {
	l := &look{cfg: cfg, state: s, view: v, now: now}
	w := newObedient(l)
	var f Forecast
	var waits wait
	longest := now + cfg.DrainFor + cfg.tenure() + cfg.StopGrace + 2*cfg.Patience
	for {
		d := Decide(cfg, l.state, l.view, l.now)
		if f.Row == "" {
			f.Row, f.Reason = d.Row, d.Reason
		}
		f.End = d.Reason
		if d.Row != waits.row {
			f.Steps = waits.over(f.Steps, l.now)
		}
		switch {
		case d.Row == "promote":
			f.Primary, f.Has, f.Risk = d.Next.Primary, d.Next.Start, d.Next.Risk
			return f
		case d.Changes && d.Next.Phase == Serving:
			return f
		case d.Changes:
			if d.Row != f.Row {
				f.Steps = append(f.Steps, d.Row+": "+d.Reason)
			}
			l.state, l.view.Since = d.Next, l.now
			l.now += time.Millisecond // what they answer from now on counts
		case l.state.Phase == Serving || l.now >= longest:
			return f
		default:
			filled := fillNow(l, d.Actions)
			if f.Steps = append(f.Steps, filled...); len(filled) == 0 {
				waits.begin(d, l.now)
				l.now += 10 * time.Millisecond
			}
		}
		w.obey(l)
	}
}

// wait is a row that only time leads out of.
type wait struct {
	row, reason string
	since       time.Duration
}

func (w *wait) begin(d Decision, now time.Duration) {
	if w.row == "" {
		*w = wait{d.Row, d.Reason, now}
	}
}

func (w *wait) over(steps []string, now time.Duration) []string {
	if w.row != "" {
		steps = append(steps, fmt.Sprintf("%s, for %s: %s", w.row, short(now-w.since), w.reason))
	}
	*w = wait{}
	return steps
}

// fillNow has candidates filled that are to be filled, and says so.
func fillNow(l *look, actions []Action) (steps []string) {
	for _, a := range actions {
		if a.Verb == Fill {
			l.view.fact(a.Member).Received = a.Upto
			steps = append(steps, fmt.Sprintf("fill %s from %s up to %s", a.Member, a.From, a.Upto.Plain()))
		}
	}
	return steps
}

// obedient are those who answer.
type obedient struct{ members, proxies []bool }

func newObedient(l *look) (w obedient) {
	l.view.Facts, l.view.Proxies = slices.Clone(l.view.Facts), slices.Clone(l.view.Proxies)
	for i := range l.view.Facts {
		w.members = append(w.members, l.fresh(&l.view.Facts[i]))
	}
	for i := range l.view.Proxies {
		w.proxies = append(w.proxies, l.now-l.view.Proxies[i].Answered <= l.cfg.After)
	}
	return w
}

// obey has them answer again, and do what the phase asks of them.
func (w obedient) obey(l *look) {
	end := l.view.fact(l.state.Primary).Received
	for i, answers := range w.members {
		f := &l.view.Facts[i]
		if !answers {
			continue
		}
		f.Answered = l.now
		switch {
		case l.state.Phase == Draining && f.Following == l.state.Primary && f.Received.Before(end):
			f.Received = end
		case l.state.Phase == Fencing && f.Stalled == Never && !(f.Role == Primary && l.cfg.peer(f.Name).Bare): // SQL stops no server, and a disk that hangs takes no promise
			f.Promised = max(f.Promised, l.state.Epoch)
			if f.Role == Primary {
				f.Role = Stopped
			}
		}
	}
	for i, answers := range w.proxies {
		p := &l.view.Proxies[i]
		if !answers {
			continue
		}
		p.Answered = l.now
		switch l.state.Phase {
		case Draining:
			p.Epoch, p.Drained = l.state.Epoch, l.state.Step
		case Fencing:
			p.Closed = l.state.Epoch
		}
	}
}
