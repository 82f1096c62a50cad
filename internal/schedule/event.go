package schedule

import (
	"fmt"
	"time"
)

// Cause is why a job is due.
type Cause string

const (
	Slot     Cause = "slot"     // its expression says so
	Retrying Cause = "retry"    // its last run failed, and has tries left
	Resume   Cause = "resume"   // its last run was interrupted
	Request  Cause = "request"  // a person asked, through the control socket
	Signal   Cause = "signal"   // a person or a program asked, by a signal
	LogSize  Cause = "log-size" // much log since the last base: the replay grows
	Replay   Cause = "replay"   // the forecast restore time comes near the RTO
	Unread   Cause = "unread"   // a part of a repository was not read for too long, or was left for later
)

// An Event makes a job due once, besides its expression. An event of Request or Signal goes before everything else: it does not wait
// for hours, for other jobs' order, for a retry's time, or for the end of a pause that began before it.
type Event struct {
	Cause  Cause     `json:"cause"`
	At     time.Time `json:"at"`
	Detail string    `json:"detail"` // one clause: "anna asked for it", "12 GiB of log since the last base, bound 10 GiB"
}

func (e Event) asked() bool { return e.Cause == Request || e.Cause == Signal }

// LogGrown returns the event that a base is due because size bytes of log came since the last, and whether that has
// reached the bound. A bound of zero is none.
func LogGrown(size, bound int64, at time.Time) (Event, bool) {
	return Event{LogSize, at, fmt.Sprintf("there are %s of log since the last base, bound %s", bytes(size), bytes(bound))}, bound > 0 && size >= bound
}

// nearRTO is the share of the RTO at which a new base shortens the replay; what is left is time to take it.
const nearRTO = 0.8

// ReplayNear returns the event that a base is due because a restore is forecast to take so long, and whether that is
// four fifths of the RTO or more. An RTO of zero is none.
func ReplayNear(forecast, rto time.Duration, at time.Time) (Event, bool) {
	return Event{Replay, at, fmt.Sprintf("a restore is forecast to take %s of an RTO of %s", length(forecast), length(rto))},
		rto > 0 && float64(forecast) >= nearRTO*float64(rto)
}

// Aged returns the event that a check is due because some of a repository was read last at a time, and whether that is longer ago
// than is promised. A bound of zero is none.
func Aged(repository string, last time.Time, bound time.Duration, at time.Time) (Event, bool) {
	age := at.Sub(last)
	return Event{Unread, at, fmt.Sprintf("some of %s was read %s ago, bound %s", repository, length(age), length(bound))}, bound > 0 && !last.IsZero() && age >= bound
}

// Unfinished is the event that a check goes on with what it left of a repository.
func Unfinished(repository string, begun, at time.Time) Event {
	return Event{Unread, at, fmt.Sprintf("some of %s is left of the round that began %s ago", repository, length(at.Sub(begun)))}
}

func bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.4g %ciB", value, units[unit])
}
