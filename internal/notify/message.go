package notify

import (
	"cmp"
	"slices"
	"time"
)

// ChangeKind says what became of a matter.
type ChangeKind string

// What can become of a matter.
const (
	Began    ChangeKind = "began"
	Rose     ChangeKind = "rose"     // it lasts, and is worse than when it was told last
	Lasts    ChangeKind = "lasts"    // told again because it has lasted for so long
	Ended    ChangeKind = "ended"    // it was told, and is over
	Passed   ChangeKind = "passed"   // it began and ended while nobody was to be disturbed
	Happened ChangeKind = "happened" // an event: it has no end
)

// Change is a notice and what became of it since the receiver was told last.
type Change struct {
	Kind ChangeKind `json:"kind"`
	Notice
	Was       Severity `json:"was"`                 // of Rose and Ended: the severity that was told
	Flapping  int      `json:"flapping,omitempty"`  // it comes and goes: how often since it is told as one; 0 if it does not
	Held      bool     `json:"held,omitempty"`      // it was kept back during quiet hours
	Escalated bool     `json:"escalated,omitempty"` // others were told before, and neither ended nor acknowledged it
	Known     string   `json:"known,omitempty"`     // who acknowledged it
}

// over says that the matter does not last.
func (c Change) over() bool { return c.Kind == Ended || c.Kind == Passed }

// MessageKind says what occasion a message has.
type MessageKind string

// The occasions of a message.
const (
	Changes MessageKind = "changes"
	Summary MessageKind = "summary" // the daily one
	Test    MessageKind = "test"    // somebody wants to see whether it arrives
)

// Message is what one receiver is told at once.
type Message struct {
	ID       string      `json:"id"` // different for each message, the same when it is sent again
	Receiver string      `json:"receiver"`
	Host     string      `json:"host"`
	At       time.Time   `json:"at"`
	Kind     MessageKind `json:"kind"`
	Severity Severity    `json:"severity"` // the worst of what lasts or happened; Info if all of it is over
	Subject  string      `json:"subject"`  // one line
	Text     string      `json:"text"`     // a few lines, for chats and telephones
	Body     string      `json:"body"`     // all of it, for mail
	Changes  []Change    `json:"changes"`  // worst first
}

// order sorts changes as they are read: what is worst and new comes first.
func order(changes []Change) {
	rank := []ChangeKind{Began, Rose, Happened, Lasts, Passed, Ended}
	slices.SortStableFunc(changes, func(a, b Change) int {
		return cmp.Or(
			compareBool(a.over(), b.over()),
			cmp.Compare(b.Severity, a.Severity),
			cmp.Compare(slices.Index(rank, a.Kind), slices.Index(rank, b.Kind)),
			cmp.Compare(a.Objective, b.Objective),
			cmp.Compare(a.Source, b.Source),
			cmp.Compare(a.Fingerprint, b.Fingerprint),
		)
	})
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// worst returns the highest severity among what lasts or happened.
func worst(changes []Change) Severity {
	s := Info
	for _, c := range changes {
		if !c.over() {
			s = max(s, c.Severity)
		}
	}
	return s
}

// merge adds change to list, in which each matter stands once: two changes of one matter become what somebody sees who
// was told of neither. Events always stand alone.
func merge(list []Change, change Change) []Change {
	i := slices.IndexFunc(list, func(c Change) bool {
		return c.Fingerprint == change.Fingerprint && c.Kind != Happened && change.Kind != Happened
	})
	if i < 0 {
		return append(list, change)
	}
	before := list[i]
	untold := before.Kind == Began || before.Kind == Passed
	switch {
	case untold && change.over():
		change.Kind = Passed
		change.Severity = max(change.Severity, before.Severity)
	case untold:
		change.Kind = Began
	case before.Kind == Rose && change.Kind == Lasts:
		change.Kind, change.Was = Rose, before.Was
	}
	list[i] = change
	return list
}
