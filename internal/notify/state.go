package notify

import (
	"maps"
	"slices"
	"time"
)

// State is all that the notifier knows: a plain value, kept as one file. What waits to be sent lies beside it.
type State struct {
	Version int                  `json:"version"`
	Seq     uint64               `json:"seq"`     // of the newest message that counts
	Matters map[string]*Matter   `json:"matters"` // by fingerprint: what lasts, and what lasted within the last day
	Events  map[string]time.Time `json:"events"`  // events of the last days, by fingerprint and time
	Desks   map[string]*Desk     `json:"desks"`   // by receiver

	touched bool // it differs from what is on disk
}

// Matter is one notice through its times.
type Matter struct {
	Notice
	Scope   string      `json:"scope"`           // whose complete list it was in
	Seen    time.Time   `json:"seen"`            // when this time of it was first reported
	Gone    time.Time   `json:"gone,omitzero"`   // when it was no longer reported; zero while it is
	Over    bool        `json:"over,omitempty"`  // that counts as its end
	Begins  []time.Time `json:"begins"`          // within a day
	Flaps   int         `json:"flaps,omitempty"` // how often it came since it is told as one that comes and goes; 0 if it is not
	Known   string      `json:"known,omitempty"` // who acknowledged it
	KnownAt time.Time   `json:"known_at,omitzero"`
	About   string      `json:"about,omitempty"` // the receiver that it is about
}

// Desk is what one receiver was told, and what is ready for it and not yet a message.
type Desk struct {
	Told    map[string]Told `json:"told"`              // by fingerprint: what it knows to last
	Held    []Change        `json:"held,omitempty"`    // until the quiet hours are over
	Pending []Change        `json:"pending,omitempty"` // until the moment of the group is over
	Waits   time.Time       `json:"waits,omitzero"`    // since when the first of Pending does
	Recent  []time.Time     `json:"recent,omitempty"`  // messages of the last minutes
	Day     string          `json:"day,omitempty"`     // of the newest daily summary

	touched bool
}

// Told is what a receiver knows of a matter.
type Told struct {
	Severity Severity  `json:"severity"`
	At       time.Time `json:"at"`
}

const stateVersion = 1

func newState() *State { return (&State{Version: stateVersion}).filled() }

// filled returns s with every map made.
func (s *State) filled() *State {
	if s.Matters == nil {
		s.Matters = map[string]*Matter{}
	}
	if s.Events == nil {
		s.Events = map[string]time.Time{}
	}
	if s.Desks == nil {
		s.Desks = map[string]*Desk{}
	}
	return s
}

// desk returns that of receiver. A new one is told all that lasts.
func (s *State) desk(receiver string) *Desk {
	d := s.Desks[receiver]
	if d == nil {
		d = &Desk{}
		s.Desks[receiver], s.touched = d, true
	}
	if d.Told == nil {
		d.Told = map[string]Told{}
	}
	return d
}

// fingerprints returns those of all matters, sorted.
func (s *State) fingerprints() []string { return slices.Sorted(maps.Keys(s.Matters)) }
