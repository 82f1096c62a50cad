package policy

import (
	"fmt"
	"time"
)

const (
	roomWarning = 0.8              // of a bound
	roomSoon    = time.Hour        // until it is full
	roomCrisis  = 10 * time.Minute // until it is full
	roomLittle  = 0.2              // below it growth alone says nothing
	roomRest    = time.Minute
)

// rooms looks at what may fill up: the spool of this host, and the log that the source keeps for us.
func (j *judge) rooms() {
	j.room(j.f.Spool, "spool", "the spool of this host", "capture stops when it is full: see which repository does not take what waits, or raise the bound")
	j.room(j.f.Held, "held", "what the source keeps for us", "the source drops it, or stops, when there is no room: see why it is not captured")
}

func (j *judge) room(r Room, part, name, do string) {
	if r.Limit <= 0 {
		return
	}
	fill := float64(r.Bytes) / float64(r.Limit)
	full := r.fullIn()
	b := breach{Finding: Finding{Objective: Spool, Part: part, Severity: Warning, Since: j.now, Do: do}, patience: leastPatience, rest: roomRest}
	b.Reason = fmt.Sprintf("%s is at %s, %s of %s (limit %s)", name, percent(fill), size(r.Bytes), size(r.Limit), percent(roomWarning))
	switch soon := full > 0 && fill >= roomLittle; {
	case fill >= 1:
		b.Severity, b.patience = Critical, 0
		b.Reason = fmt.Sprintf("%s is full: %s of %s", name, size(r.Bytes), size(r.Limit))
	case soon && full <= roomCrisis:
		b.Severity = Critical
		b.Reason = fmt.Sprintf("%s is full in %s (limit %s): %s of %s, and %s more a minute", name, span(full), span(roomCrisis), size(r.Bytes), size(r.Limit), size(int64(r.Rate*60)))
	case fill >= roomWarning:
	case soon && full <= roomSoon:
		b.Reason = fmt.Sprintf("%s is full in %s (limit %s): %s of %s, and %s more a minute", name, span(full), span(roomSoon), size(r.Bytes), size(r.Limit), size(int64(r.Rate*60)))
	default:
		return
	}
	j.add(b)
}

// fullIn is how long it takes until there is no room; zero: it does not fill.
func (r Room) fullIn() time.Duration {
	if r.Rate <= 0 || r.Bytes >= r.Limit {
		return 0
	}
	seconds := float64(r.Limit-r.Bytes) / r.Rate
	if seconds > (365 * 24 * time.Hour).Seconds() {
		return 0
	}
	return max(time.Duration(seconds*float64(time.Second)), 1)
}
