package notify

import (
	"slices"
	"time"
)

// escalation keeps a matter from its receiver until it has lasted for after without being acknowledged. Events pass,
// since nobody can end or acknowledge them, and so does what says that another receiver is dead.
type escalation struct{ after time.Duration }

func (s escalation) pass(d *Desk, in []item, now time.Time) []item {
	if s.after <= 0 {
		return in
	}
	in = slices.DeleteFunc(in, func(i item) bool {
		if _, told := d.Told[i.Fingerprint]; told || i.urgent || i.Kind == Happened {
			return false
		}
		return i.Known != "" || now.Sub(i.seen) < s.after
	})
	for k := range in {
		in[k].Escalated = !in[k].urgent && in[k].Kind == Began
	}
	return in
}
