package notify

import (
	"cmp"
	"time"
)

// pipeline makes messages from matters. It holds no state and does no I/O: the same state, events and time give the same
// messages, but for their IDs.
type pipeline struct {
	host    string
	lanes   []lane
	summary func(time.Time) string // the first line of a daily summary; may be nil
	id      func() string
}

// lane is the way to one receiver.
type lane struct {
	receiver string
	route    Route
	stages   []stage
}

// step returns what is to be told at now, and notes in s that it was.
func (p *pipeline) step(s *State, events []Notice, now time.Time) []Message {
	s.settle(now)
	names := s.fingerprints()
	var out []Message
	for _, l := range p.lanes {
		d := s.desk(l.receiver)
		in := make([]item, 0, len(names)+len(events))
		for _, name := range names {
			in = append(in, s.Matters[name].item())
		}
		for _, e := range events {
			in = append(in, item{Change: Change{Kind: Happened, Notice: e}})
		}
		for _, st := range l.stages {
			in = st.pass(d, in, now)
		}
		if len(in) > 0 {
			out = append(out, p.message(l, Changes, changesOf(in), now))
		}
		if m, due := p.daily(s, d, l, now); due {
			out = append(out, m)
		}
		s.touched = s.touched || d.touched
		d.touched = false
	}
	return out
}

// daily returns the summary of the day if it is due.
func (p *pipeline) daily(s *State, d *Desk, l lane, now time.Time) (Message, bool) {
	today := l.route.Daily.last(now)
	// Clocks that go back make a day come twice. One that is far ahead was noted by a clock that was wrong.
	if today <= d.Day && d.Day <= l.route.Daily.last(now.Add(2*day)) {
		return Message{}, false
	}
	// The first day is not due: a daemon that was just installed has nothing to sum up.
	due := d.Day != ""
	d.Day, d.touched = today, true
	if !due {
		return Message{}, false
	}
	var lasting []Change
	for _, name := range s.fingerprints() {
		m := s.Matters[name]
		if _, told := d.Told[name]; m.Over || m.About == l.receiver || !told && !l.route.takes(m.Notice) {
			continue
		}
		c := m.item().Change
		c.Kind = Lasts
		lasting = append(lasting, c)
	}
	return p.message(l, Summary, lasting, now), true
}

// message writes what l's receiver is told.
func (p *pipeline) message(l lane, kind MessageKind, changes []Change, now time.Time) Message {
	order(changes)
	m := Message{
		ID: p.id(), Receiver: l.receiver, Host: p.host, At: now, Kind: kind,
		Severity: worst(changes), Changes: changes,
	}
	t := text{m: m, zone: cmp.Or(l.route.Zone, time.UTC)}
	if kind == Summary && p.summary != nil {
		t.opening = line(p.summary(now), maxText)
	}
	m.Subject, m.Text, m.Body = t.subject(), t.chat(), t.mail()
	return m
}

func changesOf(in []item) []Change {
	out := make([]Change, len(in))
	for k, i := range in {
		out[k] = i.Change
	}
	return out
}
