package notify

import (
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
)

// entry is a message on its way.
type entry struct {
	m       Message
	seq     uint64
	stored  bool      // it has a file
	refused time.Time // when it was refused for good as it seems; zero if it was not
}

// queue is what waits for one receiver, and how the receiver does.
type queue struct {
	name    string
	entries []*entry      // oldest first
	wake    chan struct{} // holds one signal
	line    chan struct{} // one place: for the message that is being sent

	notBefore time.Time // the receiver is left alone until then
	attempts  int       // failed ones since the last success
	known     bool      // it was tried since the start
	failing   time.Time // since when every attempt fails; zero if the last one did not
	refusing  bool      // the last failure was not one that passes by itself
	lastErr   string
	delivered time.Time // when it last took a message; zero: not since the start
	sent      int       // messages since the start
	lost      int       // messages given up since the start
}

const (
	keep        = 24 * time.Hour // how long a message is tried
	askAgain    = time.Hour      // after how long a refused message is tried again: somebody may have mended the key
	bound       = 256            // messages that wait for one receiver
	sendTime    = 30 * time.Second
	deadAfter   = time.Minute     // failing for so long is an alarm
	longestWait = 2 * time.Minute // between attempts
)

var growth = backoff.Policy{Min: time.Second, Max: longestWait}

func newQueue(name string) *queue {
	return &queue{name: name, wake: make(chan struct{}, 1), line: make(chan struct{}, 1)}
}

// add puts e at the end and returns what had to go for it. What only repeats does not join others that wait.
func (q *queue) add(e *entry) (dropped []*entry) {
	if len(q.entries) > 0 && onlyLasts(e.m.Changes) && e.m.Kind == Changes {
		return []*entry{e}
	}
	q.entries = append(q.entries, e)
	for len(q.entries) > bound {
		i := max(0, slices.IndexFunc(q.entries, func(e *entry) bool { return e.m.Severity < Critical }))
		dropped = append(dropped, q.entries[i])
		q.entries = slices.Delete(q.entries, i, i+1)
		q.lost++
	}
	q.signal()
	return dropped
}

// signal wakes whoever delivers.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next returns what is to be sent at now, or when to look again (zero: when woken).
func (q *queue) next(now time.Time) (e *entry, at time.Time) {
	if len(q.entries) == 0 {
		return nil, time.Time{}
	}
	if now.Before(q.notBefore) {
		return nil, q.notBefore
	}
	for _, e := range q.entries {
		again := e.refused.Add(askAgain)
		if e.refused.IsZero() || !now.Before(again) {
			return e, time.Time{}
		}
		if at.IsZero() || again.Before(at) {
			at = again
		}
	}
	return nil, at
}

// done notes how sending e went, and says whether e is finished with.
func (q *queue) done(e *entry, err error, now time.Time, chance func() float64) (finished bool) {
	q.known = true
	if err == nil {
		q.attempts, q.failing, q.refusing, q.lastErr = 0, time.Time{}, false, ""
		q.delivered, q.notBefore = now, time.Time{}
		q.sent++
		q.drop(e)
		return true
	}
	q.attempts++
	q.lastErr = line(err.Error(), maxText)
	q.refusing = IsPermanent(err)
	if q.failing.IsZero() {
		q.failing = now
	}
	if q.refusing {
		e.refused = now
	} else {
		q.notBefore = now.Add(max(growth.Delay(q.attempts, chance), min(waitOf(err), askAgain)))
	}
	if now.Sub(e.m.At) < keep {
		return false
	}
	q.lost++
	q.drop(e)
	return true
}

func (q *queue) drop(e *entry) {
	q.entries = slices.DeleteFunc(q.entries, func(o *entry) bool { return o == e })
}

// dead says whether others should be told that this receiver takes nothing.
func (q *queue) dead(now time.Time) bool {
	return !q.failing.IsZero() && (q.refusing || now.Sub(q.failing) >= deadAfter)
}
