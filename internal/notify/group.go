package notify

import (
	"slices"
	"time"
)

// group keeps changes together for a moment, so that a storm is one message: the dead store of two hundred sources. The
// moment is short while little is said, and grows while much is.
type group struct{}

const (
	moment      = 2 * time.Second // how long the first of a group waits for others
	calm        = 10              // so many messages within storm that tell of something new are no storm
	storm       = 10 * time.Minute
	longMoment  = 5 * time.Minute  // the longest wait in a storm
	shortMoment = 30 * time.Second // the longest wait of what is critical
	maxTogether = 4096             // changes in one message
)

func (s group) pass(d *Desk, in []item, now time.Time) []item {
	for _, i := range in {
		if len(d.Pending) == 0 {
			d.Waits = now
		}
		d.Pending, d.touched = merge(d.Pending, i.Change), true
	}
	if len(d.Pending) == 0 || now.Sub(d.Waits) < d.moment(now) && len(d.Pending) < maxTogether {
		return nil
	}
	out := make([]item, 0, len(d.Pending))
	for _, c := range d.Pending {
		out = append(out, item{Change: c})
	}
	if slices.ContainsFunc(d.Pending, alarms) {
		d.Recent = append(d.Recent, now)
	}
	d.Pending, d.touched = nil, true
	return out
}

// moment returns how long the pending changes wait for others.
func (d *Desk) moment(now time.Time) time.Duration {
	d.Recent = slices.DeleteFunc(d.Recent, func(t time.Time) bool { return now.Sub(t) >= storm })
	longest := longMoment
	if slices.ContainsFunc(d.Pending, breaks) {
		longest = shortMoment
	}
	wait := moment
	for n := calm; n < len(d.Recent) && wait < longest; n++ {
		wait *= 2
	}
	return min(wait, longest)
}

// alarms says that c tells of something that was not told before. What ends is no storm: somebody may have mended it all.
func alarms(c Change) bool { return c.Kind == Began || c.Kind == Rose || c.Kind == Happened }

// onlyLasts says that changes repeat what was told before.
func onlyLasts(changes []Change) bool {
	return !slices.ContainsFunc(changes, func(c Change) bool { return c.Kind != Lasts })
}
