package notify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// tick is how often the notifier looks whether a moment, a repeat or the quiet hours are over.
const tick = 250 * time.Millisecond

// Run sends what waits until ctx ends, and returns nil then. Only one Run may run at a time.
func (n *Notifier) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.watch(ctx) })
	g.Go(func() error {
		for ctx.Err() == nil {
			n.deliverAll(ctx)
		}
		return nil
	})
	return g.Wait()
}

// deliverAll sends to the receivers there are until ctx ends, or others take their place: then what is on its way still arrives.
func (n *Notifier) deliverAll(ctx context.Context) {
	round, end := context.WithCancel(ctx)
	defer end()
	var all sync.WaitGroup
	n.mu.Lock()
	n.replaced = end
	for _, q := range n.queues {
		all.Go(func() { n.deliver(ctx, round, q) })
	}
	n.mu.Unlock()
	<-round.Done()
	all.Wait()
}

// watch steps once a tick.
func (n *Notifier) watch(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			n.mu.Lock()
			n.step(nil, time.Now())
			n.mu.Unlock()
		}
	}
}

// deliver sends the messages of one receiver, one at a time, until round ends. A receiver that hangs holds up nobody but itself.
func (n *Notifier) deliver(ctx, round context.Context, q *queue) {
	for round.Err() == nil {
		n.mu.Lock()
		e, at := q.next(time.Now())
		n.mu.Unlock()
		if e == nil {
			wait(round, q.wake, at)
			continue
		}
		err := n.send(ctx, e.m)
		if ctx.Err() != nil && err != nil {
			return // The daemon ends; that is no failure of the receiver, and the message waits on disk.
		}
		n.finish(q, e, err)
	}
}

// send has m sent, after what is being sent to the same receiver: Try and deliver share its sender.
func (n *Notifier) send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	n.mu.Lock()
	q, sender := n.queues[m.Receiver], n.senders[m.Receiver]
	n.mu.Unlock()
	if q == nil {
		return fmt.Errorf("receiver %s: %w", m.Receiver, ErrUnknown)
	}
	select {
	case q.line <- struct{}{}:
		defer func() { <-q.line }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return sender.Send(ctx, m)
}

// finish notes how sending e went.
func (n *Notifier) finish(q *queue, e *entry, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	wasFailing := !q.failing.IsZero()
	finished := q.done(e, err, now, chance)
	switch {
	case err == nil && wasFailing:
		n.log.Info("receiver takes messages again", "receiver", q.name)
	case err != nil && !wasFailing:
		n.log.Warn("receiver does not take messages", "receiver", q.name, "message", e.m.ID, "err", err, "permanent", q.refusing)
	}
	if finished {
		if err != nil {
			n.log.Error("message given up", "receiver", q.name, "message", e.m.ID, "err", err)
		}
		n.forget(e)
	}
	if err != nil || wasFailing {
		n.step(nil, now)
	}
}

// wait returns at time at, when woken, or when ctx ends. A zero at is never.
func wait(ctx context.Context, wake <-chan struct{}, at time.Time) {
	var alarm <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		alarm = timer.C
	}
	select {
	case <-ctx.Done():
	case <-wake:
	case <-alarm:
	}
}
