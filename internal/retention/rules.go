package retention

import "time"

// Rules say what is kept. The zero Rules keep everything.
type Rules struct {
	// Window is how far back any moment stays recoverable; zero: there is no such promise.
	Window time.Duration `json:"window,omitempty"`

	// Last is how many of the newest bases stay, with all log behind them.
	Last int `json:"last,omitempty"`

	// Daily, Weekly, Monthly and Yearly are for how many days, ISO weeks, months and years of Zone the newest base of each
	// stays. Only periods that have a base are counted, so that nothing is lost because no base was taken for a while.
	Daily   int `json:"daily,omitempty"`
	Weekly  int `json:"weekly,omitempty"`
	Monthly int `json:"monthly,omitempty"`
	Yearly  int `json:"yearly,omitempty"`

	// Zone is where days begin; nil means UTC.
	Zone *time.Location `json:"-"`

	// Log says what log the bases of Daily to Yearly keep; "" means LogToStop.
	Log Log `json:"log,omitempty"`

	// Minimum is how many bases stay whatever the other rules say; less than 1 means 1.
	Minimum int `json:"minimum,omitempty"`

	// Reports is how long drill reports stay; zero: for ever. That of the newest proved base stays in any case.
	Reports time.Duration `json:"reports,omitempty"`

	Holds []Hold `json:"holds,omitempty"`
}

// Log says how much log a base keeps that is there as a point of the calendar.
type Log string

// What a point keeps.
const (
	LogToStop Log = "to-stop" // what makes it consistent: it can be recovered to, and nothing between it and the next one
	LogOnward Log = "onward"  // all behind it: every moment since can be recovered
)

// Hold forbids to drop anything that the moments from From to To are recovered from, until End.
type Hold struct {
	From   time.Time `json:"from,omitzero"` // zero: from the beginning
	To     time.Time `json:"to,omitzero"`   // zero: all that comes, too
	End    time.Time `json:"end,omitzero"`  // when the hold no longer counts; zero: never
	Reason string    `json:"reason"`
	By     string    `json:"by"`
}

// ended reports whether the hold no longer counts.
func (h Hold) ended(now time.Time) bool { return !h.End.IsZero() && !now.Before(h.End) }

// limited reports whether some rule says what may be forgotten. A minimum alone does not: it says what must stay.
func (r Rules) limited() bool {
	return r.Window > 0 || r.Last > 0 || r.Daily > 0 || r.Weekly > 0 || r.Monthly > 0 || r.Yearly > 0
}

func (r Rules) minimum() int { return max(1, r.Minimum) }

func (r Rules) zone() *time.Location {
	if r.Zone == nil {
		return time.UTC
	}
	return r.Zone
}
