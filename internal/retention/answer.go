package retention

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/backstaydb/backstay/internal/history"
)

// decision puts together what was decided.
func (d *decider) decision() Decision {
	answer := Decision{Source: d.h.Source, Time: d.now}
	for _, b := range d.bases {
		item := Item{Kind: Base, Name: "base/" + b.ID, Time: b.StopTime, Bytes: b.StoredBytes, Why: b.rules}
		if b.kept() {
			answer.Keep = append(answer.Keep, item)
			continue
		}
		item.Why = []string{d.whyGone(b)}
		answer.Drop = append(answer.Drop, item)
	}
	d.log(&answer)
	d.reports(&answer)
	answer.summarize(d.promise())
	return answer
}

func (d *decider) whyGone(b *base) string {
	why := "no rule keeps it"
	if d.rules.Window > 0 {
		why = "older than the window of " + span(d.rules.Window) + ", and no other rule keeps it"
	}
	if b.fault != "" {
		why = "it cannot be recovered (" + b.fault + "), and is " + why
		if d.rules.Window <= 0 {
			why = "it cannot be recovered (" + b.fault + ")"
		}
	}
	return why
}

// log lists the segments that go and the stretches that stay.
func (d *decider) log(answer *Decision) {
	segments := slices.Clone(d.h.Segments)
	slices.SortStableFunc(segments, func(a, b history.Segment) int {
		return cmp.Or(a.Since.Compare(b.Since), a.Until.Compare(b.Until), a.From.Compare(b.From), cmp.Compare(a.Name, b.Name))
	})
	needed := d.neededLog()
	for _, s := range segments {
		b, stays := needed[s.Name]
		if !stays {
			answer.Drop = append(answer.Drop, Item{Kind: Segment, Name: s.Name, Time: s.Until, Bytes: s.StoredBytes, Why: []string{"no base that stays needs it"}})
			continue
		}
		answer.Log = stretch(answer.Log, s, b)
	}
}

// stretch adds a segment to the stretch that it continues.
func stretch(all []Stretch, s history.Segment, b *base) []Stretch {
	id := ""
	if b != nil {
		id = b.ID
	}
	// A fork and tips interleave few stretches, so that the right one is among the last.
	for i := len(all) - 1; i >= max(0, len(all)-4); i-- {
		if l := &all[i]; l.To.Equal(s.From) && l.Base == id {
			l.To, l.Segments, l.Bytes = s.To, l.Segments+1, l.Bytes+s.StoredBytes
			if s.Until.After(l.Until) {
				l.Until = s.Until
			}
			return all
		}
	}
	return append(all, Stretch{From: s.From, To: s.To, Since: s.Since, Until: s.Until, Segments: 1, Bytes: s.StoredBytes, Base: id})
}

// reports decides on drill reports.
func (d *decider) reports(answer *Decision) {
	proved, proof := d.newestProved()
	reports := slices.Clone(d.facts.Reports)
	slices.SortStableFunc(reports, func(a, b DrillReport) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Name, b.Name)) })
	for _, r := range reports {
		item := Item{Kind: Report, Name: r.Name, Time: r.Time, Bytes: r.Bytes}
		switch {
		case d.rules.Reports <= 0:
			item.Why = []string{"reports are kept for ever"}
		case !r.Time.Before(d.now.Add(-d.rules.Reports)):
			item.Why = []string{"reports are kept for " + span(d.rules.Reports)}
		case proved != nil && proof.Report == r.Name:
			item.Why = []string{"it proves base " + proved.ID}
		case d.held() != "":
			item.Why = []string{d.held()}
		}
		if item.Why != nil {
			answer.Keep = append(answer.Keep, item)
			continue
		}
		item.Why = []string{"older than " + span(d.rules.Reports)}
		answer.Drop = append(answer.Drop, item)
	}
}

// held names a hold that counts, "" if there is none.
func (d *decider) held() string {
	for _, h := range d.rules.Holds {
		if !h.ended(d.now) {
			return fmt.Sprintf("the hold by %s (%s)", h.By, h.Reason)
		}
	}
	return ""
}

// promise is the end of the summary.
func (d *decider) promise() string {
	if d.rules.Window <= 0 {
		return ""
	}
	return ", and every moment of the window of " + span(d.rules.Window) + " that can be recovered now can be afterwards"
}
