package notify

import "time"

// quiet keeps back what can wait until the quiet hours are over, and then lets all of it through at once. Critical
// matters break through, and so does the end of one that was told as critical: who was woken wants to know.
type quiet struct{ hours Hours }

func (s quiet) pass(d *Desk, in []item, now time.Time) []item {
	if !s.hours.Contains(now) {
		out := make([]item, 0, len(d.Held)+len(in))
		for _, c := range d.Held {
			c.Held = true
			out = append(out, item{Change: c})
		}
		if len(d.Held) > 0 {
			d.Held, d.touched = nil, true
		}
		return append(out, in...)
	}
	out := in[:0]
	for _, i := range in {
		if !breaks(i.Change) {
			d.Held, d.touched = merge(d.Held, i.Change), true
			continue
		}
		out = append(out, item{Change: d.release(i.Change)})
	}
	return out
}

// breaks says whether c may disturb at any hour.
func breaks(c Change) bool {
	return !c.over() && c.Severity == Critical || c.Kind == Ended && c.Was == Critical
}

// release returns c as it is for somebody who was not told of what is held about the same matter, which is forgotten.
func (d *Desk) release(c Change) Change {
	for k, h := range d.Held {
		if h.Fingerprint == c.Fingerprint && h.Kind != Happened && c.Kind != Happened {
			c = merge([]Change{h}, c)[0]
			d.Held = append(d.Held[:k:k], d.Held[k+1:]...)
			break
		}
	}
	return c
}
