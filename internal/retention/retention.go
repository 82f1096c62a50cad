package retention

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Decide says what of h may be dropped at now.
func Decide(h history.History, r Rules, f Facts, now time.Time) Decision {
	d := newDecider(h, r, f, now)
	d.rulesOfBases()
	d.prove()
	return d.decision()
}

// decider collects what the rules keep.
type decider struct {
	h     history.History
	rules Rules
	facts Facts
	now   time.Time

	bases   []*base // oldest first
	byID    map[string]*base
	windows []history.Window // before anything is dropped
	lines   []line
	moments []moments // that must stay recoverable
	keepLog string    // why all log stays, whoever needs it; "" if it does not
}

// base is a base and what was decided of it.
type base struct {
	history.Base
	fault string   // why it cannot be recovered; "" if it can
	rules []string // that keep it
	log   reach    // how much log it keeps
}

func (b *base) kept() bool { return len(b.rules) > 0 }

// begin is the sequence from which the base needs log.
func (b *base) begin() uint64 {
	if b.Start.IsZero() {
		return b.Stop.Seq
	}
	return min(b.Start.Seq, b.Stop.Seq)
}

// reach says how much log a base keeps: what it needs up to its stop, and beyond it all up to until, or all.
type reach struct {
	until  time.Time
	onward bool
}

var (
	toStop = reach{}
	onward = reach{onward: true}
)

// moments are those that must stay recoverable; a zero to has no end.
type moments struct {
	from, to time.Time
	why      string
}

func newDecider(h history.History, r Rules, f Facts, now time.Time) *decider {
	d := &decider{h: h, rules: r, facts: f, now: now, byID: map[string]*base{}, windows: h.Windows(), lines: linesOf(h)}
	for _, b := range h.Bases {
		kept := &base{Base: b}
		d.bases = append(d.bases, kept)
		d.byID[b.ID] = kept
	}
	slices.SortFunc(d.bases, func(a, b *base) int { return cmp.Or(a.StopTime.Compare(b.StopTime), cmp.Compare(a.ID, b.ID)) })
	for _, b := range d.bases {
		b.fault = d.faultOf(b)
	}
	return d
}

// faultOf says why a base cannot be recovered.
func (d *decider) faultOf(b *base) string {
	for at, steps := b, 0; ; steps++ {
		if slices.Contains(d.facts.Damaged, at.ID) {
			return "base " + at.ID + " is damaged"
		}
		if at.Parent == "" {
			break
		}
		parent, ok := d.byID[at.Parent]
		if !ok || steps > len(d.bases) {
			return fmt.Sprintf("base %s, which %s builds on, is missing", at.Parent, at.ID)
		}
		at = parent
	}
	if b.begin() == b.Stop.Seq {
		return ""
	}
	near := history.History{Bases: []history.Base{b.Base}, Forks: d.h.Forks}
	for _, s := range d.h.Segments {
		if s.To.Seq > b.begin() && s.From.Seq < b.Stop.Seq {
			near.Segments = append(near.Segments, s)
		}
	}
	if len(near.Windows()) == 0 {
		return "log that it needs is missing"
	}
	return ""
}

// keep notes that a rule keeps a base, and so those that it builds on.
func (d *decider) keep(b *base, rule string, log reach) {
	if !slices.Contains(b.rules, rule) {
		b.rules = append(b.rules, rule)
	}
	b.log.onward = b.log.onward || log.onward
	if log.until.After(b.log.until) {
		b.log.until = log.until
	}
	if parent, ok := d.byID[b.Parent]; ok && !slices.Contains(parent.rules, buildsOn(b)) {
		d.keep(parent, buildsOn(b), toStop)
	}
}

func buildsOn(b *base) string { return "base " + b.ID + " builds on it" }

// rulesOfBases applies every rule to every base.
func (d *decider) rulesOfBases() {
	if !d.rules.limited() {
		d.keepAll("no rule says what may be forgotten")
		return
	}
	if d.rules.Window > 0 {
		d.keepMoments(moments{from: d.now.Add(-d.rules.Window), why: "the window of " + span(d.rules.Window)})
	}
	for _, h := range d.rules.Holds {
		d.hold(h)
	}
	systems := systemsOf(d.bases)
	for i, s := range systems {
		d.counts(s, systems[:i])
		d.calendar(s, i > 0)
	}
	d.proved()
	for _, c := range d.facts.Claims {
		if b, ok := d.byID[c.Base]; ok && d.now.Before(c.Until) {
			d.keep(b, fmt.Sprintf("read by %s until %s", c.By, d.clock(c.Until)), onward)
		}
	}
}

// keepAll keeps everything.
func (d *decider) keepAll(why string) {
	for _, b := range d.bases {
		d.keep(b, why, onward)
	}
	d.keepLog = why
}

func (d *decider) hold(h Hold) {
	if h.ended(d.now) {
		return
	}
	why := fmt.Sprintf("the hold by %s (%s)", h.By, h.Reason)
	if !h.End.IsZero() {
		why += " until " + d.clock(h.End)
	}
	if h.From.IsZero() && h.To.IsZero() {
		d.keepAll(why)
		return
	}
	d.keepMoments(moments{from: h.From, to: h.To, why: why})
}

// keepMoments keeps the bases that lie in m, and those that the first moments of each window in m are recovered from.
func (d *decider) keepMoments(m moments) {
	d.moments = append(d.moments, m)
	log := reach{until: m.to, onward: m.to.IsZero()}
	for _, b := range d.bases {
		if _, _, inside := m.clip(b.StopTime, b.StopTime); inside {
			d.keep(b, "lies in "+m.why, log)
		}
	}
	for _, w := range d.windows {
		first, _, inside := m.clip(w.Since, w.Until)
		if !inside {
			continue
		}
		c, err := d.h.Chain(history.Target{Kind: history.AtTime, Time: first, Position: history.At(w.End.Timeline, 0)})
		if err != nil {
			continue // prove finds what is missing then
		}
		if b := d.byID[c.Base.ID]; first.After(b.StopTime) {
			d.keep(b, "moments from "+d.clock(first)+" on, in "+m.why+", are recovered from it", log)
		}
	}
}

// clip is the part of since to until that lies in m.
func (m moments) clip(since, until time.Time) (first, last time.Time, ok bool) {
	if since.Before(m.from) {
		since = m.from
	}
	if !m.to.IsZero() && m.to.Before(until) {
		until = m.to
	}
	return since, until, !until.Before(since)
}

// proved keeps the newest base that a drill proved.
func (d *decider) proved() {
	if b, proof := d.newestProved(); b != nil {
		d.keep(b, "the newest that a drill proved ("+d.clock(proof.Time)+")", onward)
	}
}

func (d *decider) newestProved() (newest *base, proof Proof) {
	for _, p := range d.facts.Proofs {
		b, ok := d.byID[p.Base]
		if !ok || b.fault != "" {
			continue
		}
		if newest == nil || b.StopTime.After(newest.StopTime) || b == newest && p.Time.After(proof.Time) {
			newest, proof = b, p
		}
	}
	return newest, proof
}

// clock writes a time for people, in the zone of the rules.
func (d *decider) clock(t time.Time) string {
	return t.In(d.rules.zone()).Format("2006-01-02 15:04 MST")
}
