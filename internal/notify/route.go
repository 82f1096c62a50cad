package notify

import (
	"slices"
	"time"
)

// Route says what one receiver is told, and when.
type Route struct {
	At            Severity       // the least severity that it is told; worse is always told too
	Sources       []string       // only these; empty means all
	Classes       []string       // only sources of these; empty means all
	Quiet         Hours          // when only Critical disturbs; the rest is told at its end, as one message
	EscalateAfter time.Duration  // told only of what still lasts so long after it was seen and nobody acknowledged; zero means at once
	Repeat        time.Duration  // told again while it lasts; zero means what its Sender wants, else once a day
	Daily         Clock          // a summary each day, in place of repeats; zero means none
	Zone          *time.Location // of the times in texts; nil means UTC
}

// takes says whether n is for this route at all.
func (r Route) takes(n Notice) bool {
	if n.Severity < r.At {
		return false
	}
	if n.Source == "" || len(r.Sources) == 0 && len(r.Classes) == 0 {
		return true
	}
	return slices.Contains(r.Sources, n.Source) || n.Class != "" && slices.Contains(r.Classes, n.Class)
}

// routing is the first stage: it lets through what is for the receiver. What it was told of once stays its own, so that
// it hears the end of a matter that became milder than it asks for.
type routing struct {
	receiver string
	route    Route
}

func (s routing) pass(d *Desk, in []item, _ time.Time) []item {
	return slices.DeleteFunc(in, func(i item) bool {
		_, told := d.Told[i.Fingerprint]
		return i.about == s.receiver || !told && !s.route.takes(i.Notice)
	})
}
