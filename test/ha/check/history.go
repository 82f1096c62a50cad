package check

import (
	"slices"
	"sync"
	"time"
)

// Outcome is what a client was told.
type Outcome int

// The outcomes.
const (
	Happened Outcome = iota
	Refused          // it did not happen, and will not
	Unknown          // it may have happened, or may yet
)

// Operation is one request and its answer.
type Operation struct {
	Client   int
	Kind     string // "read", "write", "append", "sum"
	Key      string
	Value    int64 // written; or read, if it happened
	Asked    time.Duration
	Answered time.Duration
	Outcome  Outcome
	Why      string // of an error, for people
}

// History is what clients did, since Began. It may be written to by many at a time.
type History struct {
	began time.Time
	mu    sync.Mutex
	all   []Operation
}

// NewHistory begins one.
func NewHistory() *History { return &History{began: time.Now()} }

// Now is the time since it began.
func (h *History) Now() time.Duration { return time.Since(h.began) }

// Add records an operation that is over.
func (h *History) Add(o Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, o)
}

// Operations are those of a kind, or all for "", in the order in which they were answered.
func (h *History) Operations(kind string) (of []Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.all {
		if kind == "" || o.Kind == kind {
			of = append(of, o)
		}
	}
	slices.SortStableFunc(of, func(a, b Operation) int { return int(a.Answered - b.Answered) })
	return of
}

// Gap is the longest time between from and to in which no operation of a kind that happened was answered, and when it
// began: how long a failover was felt.
func (h *History) Gap(kind string, from, to time.Duration) (longest, at time.Duration) {
	last := from
	look := func(t time.Duration) {
		if t-last > longest {
			longest, at = t-last, last
		}
		last = t
	}
	for _, o := range h.Operations(kind) {
		if o.Outcome == Happened && o.Answered > from && o.Answered < to {
			look(o.Answered)
		}
	}
	look(to)
	return longest, at
}

// Count tells how many operations of a kind had each outcome.
func (h *History) Count(kind string) (happened, refused, unknown int) {
	for _, o := range h.Operations(kind) {
		switch o.Outcome {
		case Happened:
			happened++
		case Refused:
			refused++
		case Unknown:
			unknown++
		}
	}
	return happened, refused, unknown
}
