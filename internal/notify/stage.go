package notify

import "time"

// stage is one step of the way from matters to a message, for one receiver.
type stage interface {
	// pass returns what of in goes on at now. It may reorder in, and may keep and forget in d, and nowhere else. Stages
	// up to dedupe see every matter each time, those after it see each change once.
	pass(d *Desk, in []item, now time.Time) []item
}

// item is what goes from stage to stage: a change, and what the stages ask about its matter.
type item struct {
	Change
	seen   time.Time // when this time of it was first reported; zero for an event
	about  string    // the receiver that the matter is about; it cannot be told through itself
	urgent bool      // it is not for an escalation to wait
}

// stages returns the way for receiver, in order.
func stages(receiver string, r Route) []stage {
	return []stage{
		routing{receiver, r},
		escalation{r.EscalateAfter},
		dedupe{r.repeat()},
		quiet{r.Quiet},
		group{},
	}
}

// repeat returns after how long a lasting matter is told again; 0 means never.
func (r Route) repeat() time.Duration {
	if r.Daily != (Clock{}) {
		return 0
	}
	if r.Repeat > 0 {
		return r.Repeat
	}
	return day
}

const day = 24 * time.Hour
