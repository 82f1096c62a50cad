package notify

import (
	"slices"
	"strconv"
	"time"
)

const (
	often      = 3             // how often a matter may come within a day before it is told as one that comes and goes
	settled    = 6 * time.Hour // how long such a one must be away until that counts as its end
	remembered = 7 * day       // how long an event is known by its fingerprint and time
	maxEvents  = 4096
)

// report takes current as all that scope knows to last at now: what is new begins, what is missing is gone.
func (s *State) report(scope string, current []Matter, now time.Time) {
	seen := make(map[string]bool, len(current))
	for _, c := range current {
		seen[c.Fingerprint] = c.Ended.IsZero()
		if c.Ended.IsZero() {
			s.present(scope, c, now)
		} else if m := s.Matters[c.Fingerprint]; m != nil && m.Gone.IsZero() {
			m.Notice, m.Gone, s.touched = c.Notice, c.Ended, true
		}
	}
	for fingerprint, m := range s.Matters {
		if m.Scope == scope && m.Gone.IsZero() && !seen[fingerprint] {
			m.Gone, m.Ended, s.touched = now, now, true
		}
	}
}

// present notes that c lasts at now.
func (s *State) present(scope string, c Matter, now time.Time) {
	m := s.Matters[c.Fingerprint]
	switch {
	case m == nil:
		m = &Matter{Seen: now, Begins: []time.Time{now}}
		s.Matters[c.Fingerprint], s.touched = m, true
	case m.Over:
		m.begin(now)
		s.touched = true
	case !m.Gone.IsZero():
		m.Gone = time.Time{}
		m.Flaps++
		s.touched = true
	}
	if c.Severity > m.Severity {
		m.Known = ""
	}
	if c.Severity != m.Severity {
		s.touched = true
	}
	m.Notice, m.Scope, m.About = c.Notice, scope, c.About
}

// begin starts another time of a matter that was over.
func (m *Matter) begin(now time.Time) {
	m.Begins = slices.DeleteFunc(m.Begins, func(t time.Time) bool { return now.Sub(t) >= day })
	if len(m.Begins) <= often {
		m.Begins = append(m.Begins, now)
	}
	m.Seen, m.Gone, m.Over, m.Known, m.Flaps = now, time.Time{}, false, "", 0
	if len(m.Begins) > often {
		m.Flaps = len(m.Begins)
	}
}

// settle decides for each matter that is gone whether that is its end, and forgets what is long over.
func (s *State) settle(now time.Time) {
	for fingerprint, m := range s.Matters {
		switch {
		case m.Gone.IsZero():
		case m.Over:
			if now.Sub(m.Gone) >= day {
				delete(s.Matters, fingerprint)
				s.touched = true
			}
		case m.Flaps == 0 || now.Sub(m.Gone) >= settled:
			m.Over, s.touched = true, true
		}
	}
	for key, at := range s.Events {
		if now.Sub(at) >= remembered {
			delete(s.Events, key)
			s.touched = true
		}
	}
}

// happen notes event n and says whether it is new.
func (s *State) happen(n Notice, now time.Time) bool {
	key := n.Fingerprint + "@" + strconv.FormatInt(n.Since.UnixNano(), 10)
	if _, known := s.Events[key]; known || len(s.Events) >= maxEvents {
		return !known
	}
	s.Events[key], s.touched = now, true
	return true
}

// item returns m as the first stage takes it.
func (m *Matter) item() item {
	i := item{Change: Change{Kind: Began, Notice: m.Notice, Flapping: m.Flaps, Known: m.Known}, seen: m.Seen, about: m.About, urgent: m.Scope == own}
	if m.Over {
		i.Kind = Ended
	} else {
		i.Ended = time.Time{}
	}
	return i
}
