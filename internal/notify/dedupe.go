package notify

import "time"

// dedupe turns what is so into what has changed since the receiver was told: a matter that began, rose, has lasted for
// another repeat, or ended.
type dedupe struct{ repeat time.Duration }

// patience is how much seldomer an acknowledged matter is repeated. It is never silent for good: who acknowledged it may
// have forgotten it.
const patience = 7

func (s dedupe) pass(d *Desk, in []item, now time.Time) []item {
	out := in[:0]
	for _, i := range in {
		if i.Kind == Happened {
			out = append(out, i)
			continue
		}
		told, known := d.Told[i.Fingerprint]
		if !s.changed(&i, told, known, now) {
			continue
		}
		if i.Kind == Ended {
			delete(d.Told, i.Fingerprint)
		} else {
			d.Told[i.Fingerprint] = Told{Severity: i.Severity, At: now}
		}
		d.touched = true
		out = append(out, i)
	}
	return out
}

// changed says whether i is worth telling, and sets its kind.
func (s dedupe) changed(i *item, told Told, known bool, now time.Time) bool {
	i.Was = told.Severity
	switch {
	case i.Kind == Ended:
		return known
	case !known:
		i.Kind = Began
		return true
	}
	i.Escalated = false
	if i.Severity > told.Severity {
		i.Kind = Rose
		return true
	}
	repeat := s.repeat
	if i.Known != "" && repeat >= day {
		repeat *= patience
	}
	i.Kind = Lasts
	return repeat > 0 && now.Sub(told.At) >= repeat
}
