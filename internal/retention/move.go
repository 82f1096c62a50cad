package retention

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Move says what goes from one repository to a colder one. The slices are in order of time.
type Move struct {
	To   string `json:"to"`   // the colder repository
	Copy []Item `json:"copy"` // what the colder one must hold
	Drop []Item `json:"drop"` // of that, what then leaves the other one

	Anchor  string `json:"anchor,omitempty"` // the oldest base that stays
	Summary string `json:"summary"`
}

// Names are those of all that leaves, as the repository takes them.
func (m Move) Names() []string { return Decision{Drop: m.Drop}.Names() }

// Moves says what of h, the history of one repository, is old enough to be moved to a colder one. d is what was decided
// of it: what is to be dropped is not moved. The newest base that is as old as after stays, so that every moment since is
// recovered from here, and so do so many bases as r never undercuts. The colder one gets the log up to that base too, so that
// no moment between the two is lost.
func Moves(h history.History, d Decision, r Rules, to string, after time.Duration, now time.Time) Move {
	m := Move{To: to, Copy: []Item{}, Drop: []Item{}, Summary: "nothing is moved to " + to}
	gone := map[string]bool{}
	for _, name := range d.Names() {
		gone[name] = true
	}
	bases := slices.DeleteFunc(slices.Clone(h.Bases), func(b history.Base) bool { return gone["base/"+b.ID] })
	slices.SortFunc(bases, func(a, b history.Base) int { return cmp.Or(a.StopTime.Compare(b.StopTime), cmp.Compare(a.ID, b.ID)) })
	at := anchor(bases, r.minimum(), now.Add(-after))
	if at <= 0 {
		return m
	}
	first := base{Base: bases[at]}
	m.Anchor = first.ID
	why := []string{fmt.Sprintf("older than %s, and older than base %s, from which all since is recovered", span(after), first.ID)}
	for _, b := range bases[:at] {
		item := Item{Kind: Base, Name: "base/" + b.ID, Time: b.StopTime, Bytes: b.StoredBytes, Why: why}
		m.Copy, m.Drop = append(m.Copy, item), append(m.Drop, item)
	}
	segments := slices.Clone(h.Segments)
	slices.SortStableFunc(segments, func(a, b history.Segment) int { return a.Until.Compare(b.Until) })
	for _, s := range segments {
		if s.Tip || gone[s.Name] || s.Since.After(first.StopTime) || s.From.Seq >= first.Stop.Seq {
			continue
		}
		item := Item{Kind: Segment, Name: s.Name, Time: s.Until, Bytes: s.StoredBytes, Why: why}
		m.Copy = append(m.Copy, item)
		// By time and by position: log of another server, or of another line, may have either beyond it, and then it stays.
		if !s.Until.After(first.StartTime) && s.To.Seq <= first.begin() {
			m.Drop = append(m.Drop, item)
		}
	}
	m.Summary = fmt.Sprintf("move %s and %s to %s; base %s is the oldest that stays",
		plural(count(m.Drop, Base).n, "base"), plural(count(m.Drop, Segment).n, "segment"), to, first.ID)
	return m
}

// anchor is the index of the oldest base that stays: the newest that is as old as before, with as many behind it as must stay, and
// with none behind it that builds on one before it.
func anchor(bases []history.Base, least int, before time.Time) int {
	at := min(len(bases)-least, len(bases)-1)
	for ; at > 0; at-- {
		if bases[at].StopTime.After(before) {
			continue
		}
		earlier := map[string]bool{}
		for _, b := range bases[:at] {
			earlier[b.ID] = true
		}
		if !slices.ContainsFunc(bases[at:], func(b history.Base) bool { return earlier[b.Parent] }) {
			return at
		}
	}
	return 0
}

// Join is what two repositories of one source hold together.
func Join(a, b history.History) history.History {
	a.Bases, a.Segments, a.Forks, a.Gaps = slices.Clone(a.Bases), slices.Clone(a.Segments), slices.Clone(a.Forks), slices.Clone(a.Gaps)
	for _, x := range b.Bases {
		if !slices.ContainsFunc(a.Bases, func(y history.Base) bool { return y.ID == x.ID }) {
			a.Bases = append(a.Bases, x)
		}
	}
	have := map[string]bool{}
	for _, s := range a.Segments {
		have[s.Name] = true
	}
	for _, s := range b.Segments {
		if !have[s.Name] {
			a.Segments = append(a.Segments, s)
		}
	}
	slices.SortStableFunc(a.Segments, func(x, y history.Segment) int { return cmp.Or(x.From.Compare(y.From), cmp.Compare(x.Name, y.Name)) })
	for _, f := range b.Forks {
		if !slices.Contains(a.Forks, f) {
			a.Forks = append(a.Forks, f)
		}
	}
	for _, g := range b.Gaps {
		if !slices.Contains(a.Gaps, g) {
			a.Gaps = append(a.Gaps, g)
		}
	}
	return a
}

// Within is the part of a decision that concerns what h lists, one repository of several that it was made for.
func (d Decision) Within(h history.History) Decision {
	listed := map[string]bool{}
	for _, b := range h.Bases {
		listed["base/"+b.ID] = true
	}
	for _, s := range h.Segments {
		listed[s.Name] = true
	}
	elsewhere := func(i Item) bool { return i.Kind != Report && !listed[i.Name] }
	before := len(d.Drop)
	d.Drop, d.Keep = slices.DeleteFunc(slices.Clone(d.Drop), elsewhere), slices.DeleteFunc(slices.Clone(d.Keep), elsewhere)
	if len(d.Drop) != before {
		d.summarize("")
	}
	return d
}
