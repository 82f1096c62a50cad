package notify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"sync"
	"time"
)

// Receiver is somebody who is told, and how.
type Receiver struct {
	Name   string // names it in texts, logs and the state; different from all others, and no secret
	Route  Route
	Sender Sender
}

// Config is how a notifier works.
type Config struct {
	Dir       string                     // its own folder, made if it is missing; one notifier at a time
	Host      string                     // how messages call this host; empty means its name
	Receivers []Receiver                 // in the order of escalation
	Summary   func(now time.Time) string // the first line of a daily summary; nil means none
	Log       *slog.Logger               // nil means none
}

// Notifier tells people. It is safe for use by several goroutines.
type Notifier struct {
	outbox outbox
	log    *slog.Logger
	damage error // what could not be read at the start

	mu        sync.Mutex
	senders   map[string]Sender
	replaced  func() // has Run begin anew with the receivers there are; nil before it runs
	pipeline  pipeline
	state     *State
	queues    map[string]*queue
	diskErr   error // why the newest state is not on disk; nil if it is
	diskSince time.Time
}

// ErrUnknown says that no open notice has that fingerprint, or no receiver that name.
var ErrUnknown = errors.New("unknown")

// Open returns a notifier with what it knew when it ended, or was killed. Messages that wait are sent when Run runs.
func Open(c Config) (*Notifier, error) {
	if c.Host == "" {
		c.Host, _ = os.Hostname()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	n := &Notifier{
		outbox: outbox{c.Dir}, log: c.Log,
		pipeline: pipeline{host: line(c.Host, maxName), summary: c.Summary, id: rand.Text},
	}
	if err := n.address(c.Receivers); err != nil {
		return nil, fmt.Errorf("open notices: %w", err)
	}
	var waiting []*entry
	var err error
	if n.state, waiting, n.damage, err = n.outbox.open(); err != nil {
		return nil, err
	}
	n.take(waiting)
	return n, nil
}

// address makes these the receivers, and keeps the queues of those who were it before. Nothing has changed if it fails.
func (n *Notifier) address(receivers []Receiver) error {
	senders, queues := map[string]Sender{}, map[string]*queue{}
	var lanes []lane
	for _, r := range receivers {
		if r.Name == "" || r.Sender == nil || senders[r.Name] != nil {
			return fmt.Errorf("receiver %q has no name of its own, or no sender", r.Name)
		}
		if often, ok := r.Sender.(Repeater); ok && r.Route.Repeat == 0 {
			r.Route.Repeat = often.Every()
		}
		senders[r.Name], queues[r.Name] = r.Sender, n.queues[r.Name]
		if queues[r.Name] == nil {
			queues[r.Name] = newQueue(r.Name)
		}
		lanes = append(lanes, lane{r.Name, r.Route, stages(r.Name, r.Route)})
	}
	n.senders, n.queues, n.pipeline.lanes = senders, queues, lanes
	return nil
}

// Replace makes these the receivers. What waits for one who stays is sent to him; what waits for one who goes is given up.
func (n *Notifier) Replace(receivers []Receiver) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.queues
	if err := n.address(receivers); err != nil {
		return fmt.Errorf("replace receivers: %w", err)
	}
	for name, q := range before {
		if n.queues[name] != nil {
			continue
		}
		for _, e := range q.entries {
			n.log.Warn("message given up, its receiver is gone", "receiver", name, "message", e.m.ID)
			n.forget(e)
		}
		q.entries = nil
		delete(n.state.Desks, name)
		n.state.touched = true
	}
	if n.replaced != nil {
		n.replaced()
	}
	return nil
}

// take puts what waited at the start into the queues, and forgets receivers that are no more.
func (n *Notifier) take(waiting []*entry) {
	if n.damage != nil {
		n.log.Warn("notices of before are damaged", "err", n.damage)
	}
	for name := range n.state.Desks {
		if n.queues[name] == nil {
			delete(n.state.Desks, name)
			n.state.touched = true
		}
	}
	for _, e := range waiting {
		if q := n.queues[e.m.Receiver]; q != nil {
			q.entries = append(q.entries, e)
			continue
		}
		n.log.Warn("message given up, its receiver is gone", "receiver", e.m.Receiver, "message", e.m.ID)
		n.forget(e)
	}
}

// Report takes current as all notices that scope knows to last now: what is new or worse is told, and what is missing,
// or has an end, is told as ended. So it is called with everything each time, as often as facts are judged, and not
// before they are known. Scopes (say "policy", "cluster") do not touch each other's notices.
func (n *Notifier) Report(scope string, current []Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	matters := make([]Matter, len(current))
	for i, c := range current {
		matters[i].Notice = c.tidied(n.pipeline.host, now)
		if m := n.state.Matters[matters[i].Fingerprint]; m != nil && c.Since.IsZero() {
			matters[i].Since = m.Seen
		}
	}
	n.state.report(scope, matters, now)
	n.step(nil, now)
}

// Tell tells of something that happened once. The same event, by fingerprint and Since, is told once, whoever repeats it
// after a crash. When Tell returns nil the event survives a kill; an error means that it is in memory only.
func (n *Notifier) Tell(event Notice) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	event = event.tidied(n.pipeline.host, now)
	if n.state.happen(event, now) {
		n.step([]Notice{event}, now)
	}
	return n.diskErr
}

// Acknowledge notes that by knows of the open notice with fingerprint: it is not escalated, and repeated seldom, until it
// ends or becomes worse. An unknown one is ErrUnknown.
func (n *Notifier) Acknowledge(fingerprint, by string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.state.Matters[fingerprint]
	if m == nil || m.Over {
		return fmt.Errorf("acknowledge %s: %w", fingerprint, ErrUnknown)
	}
	now := time.Now()
	m.Known, m.KnownAt, n.state.touched = line(by, maxName), now, true
	n.step(nil, now)
	return n.diskErr
}

// Try sends a test message to the receiver called name, past all queues, and returns why it was not taken.
func (n *Notifier) Try(ctx context.Context, name string) error {
	n.mu.Lock()
	var m Message
	for _, l := range n.pipeline.lanes {
		if l.receiver == name {
			m = n.pipeline.message(l, Test, nil, time.Now())
		}
	}
	n.mu.Unlock()
	if m.ID == "" {
		return fmt.Errorf("try receiver %s: %w", name, ErrUnknown)
	}
	if err := n.send(ctx, m); err != nil {
		return fmt.Errorf("try receiver %s: %w", name, err)
	}
	return nil
}

// step asks the pipeline what is to be told, queues it, and makes it durable. A disk that fails does not keep anybody
// from being told: a full disk is what many alarms are about.
func (n *Notifier) step(events []Notice, now time.Time) {
	n.state.report(own, n.alarms(now), now)
	for _, m := range n.pipeline.step(n.state, events, now) {
		n.state.Seq++
		level := slog.LevelInfo
		if onlyLasts(m.Changes) && m.Kind == Changes {
			level = slog.LevelDebug
		}
		n.log.Log(context.Background(), level, "notice", "receiver", m.Receiver, "message", m.ID, "severity", m.Severity.String(), "subject", m.Subject)
		for _, e := range n.queues[m.Receiver].add(&entry{m: m, seq: n.state.Seq}) {
			n.forget(e)
		}
	}
	if n.state.touched {
		n.save(now)
	}
}

// save writes what has changed; what cannot be written is tried again with the next step.
func (n *Notifier) save(now time.Time) {
	var waiting []*entry
	for _, q := range n.queues {
		waiting = append(waiting, q.entries...)
	}
	err := n.outbox.save(n.state, waiting)
	if err != nil && n.diskErr == nil {
		n.diskSince = now
		n.log.Error("notices cannot be written", "err", err)
	}
	n.diskErr, n.state.touched = err, err != nil
}

// forget removes the file of a message that is finished with.
func (n *Notifier) forget(e *entry) {
	if !e.stored {
		return
	}
	if err := n.outbox.remove(e.seq); err != nil {
		n.log.Warn("message cannot be removed, and is sent again after a restart", "message", e.m.ID, "err", err)
	}
}

func chance() float64 { return mathrand.Float64() }
