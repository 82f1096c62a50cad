package notify

import (
	"slices"
	"time"
)

// Status is how telling goes.
type Status struct {
	Receivers []ReceiverStatus `json:"receivers"`
	Open      []Lasting        `json:"open"`              // what lasts, worst first
	Disk      string           `json:"disk,omitempty"`    // why notices cannot be written; empty if they can
	Damaged   string           `json:"damaged,omitempty"` // files that could not be read at the start; empty if all could
}

// ReceiverStatus is how one receiver does.
type ReceiverStatus struct {
	Name      string    `json:"name"`
	Waiting   int       `json:"waiting"`            // messages that it has not taken yet
	Oldest    time.Time `json:"oldest,omitzero"`    // of them
	Failing   time.Time `json:"failing,omitzero"`   // since when every attempt fails; zero if the last one did not
	Dead      bool      `json:"dead"`               // it fails for so long, or in such a way, that others are told
	Error     string    `json:"error,omitempty"`    // of the last attempt
	Delivered time.Time `json:"delivered,omitzero"` // when it last took a message; zero: not since the start
	Sent      int       `json:"sent"`               // messages since the start
	Lost      int       `json:"lost"`               // messages given up since the start
}

// Lasting is a notice that lasts.
type Lasting struct {
	Notice
	Flapping int       `json:"flapping,omitempty"` // it comes and goes: how often by now; 0 if it does not
	Known    string    `json:"known,omitempty"`    // who acknowledged it
	KnownAt  time.Time `json:"known_at,omitzero"`
}

// Well says whether somebody hears an alarm: some receiver is not dead. With no receivers nobody expects to.
func (s Status) Well() bool {
	return len(s.Receivers) == 0 || slices.ContainsFunc(s.Receivers, func(r ReceiverStatus) bool { return !r.Dead })
}

// Status returns how telling goes.
func (n *Notifier) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	var s Status
	for _, l := range n.pipeline.lanes {
		q := n.queues[l.receiver]
		r := ReceiverStatus{
			Name: q.name, Waiting: len(q.entries), Failing: q.failing, Dead: q.dead(now), Error: q.lastErr,
			Delivered: q.delivered, Sent: q.sent, Lost: q.lost,
		}
		if len(q.entries) > 0 {
			r.Oldest = q.entries[0].m.At
		}
		s.Receivers = append(s.Receivers, r)
	}
	for _, name := range n.state.fingerprints() {
		if m := n.state.Matters[name]; !m.Over {
			s.Open = append(s.Open, Lasting{Notice: m.item().Notice, Flapping: m.Flaps, Known: m.Known, KnownAt: m.KnownAt})
		}
	}
	slices.SortStableFunc(s.Open, func(a, b Lasting) int { return int(b.Severity - a.Severity) })
	if n.diskErr != nil {
		s.Disk = n.diskErr.Error()
	}
	if n.damage != nil {
		s.Damaged = n.damage.Error()
	}
	return s
}
