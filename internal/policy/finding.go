package policy

import (
	"cmp"
	"slices"
	"time"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Warning  Severity = "warning"  // a promise is broken or will be, and nothing is lost by it yet
	Critical Severity = "critical" // data would be lost, or cannot be brought back in time
)

// Finding is one statement about one promise.
type Finding struct {
	Objective  Objective `json:"objective"`
	Source     string    `json:"source"`
	Repository string    `json:"repository,omitempty"` // "" if it is about the source as a whole
	Part       string    `json:"part,omitempty"`       // tells findings of one objective apart: the name of a job
	Severity   Severity  `json:"severity"`
	Since      time.Time `json:"since"`  // since when the promise is broken
	Reason     string    `json:"reason"` // one sentence with what was measured and the bound
	Do         string    `json:"do"`     // what helps

	Resting   bool       `json:"resting,omitempty"`   // the promise is kept again, not for long enough yet
	Exception *Exception `json:"exception,omitempty"` // that silences it; nil: it is told
}

// Key tells findings apart over time.
func (f Finding) Key() string {
	return string(f.Objective) + "|" + f.Repository + "|" + f.Part
}

// rank is higher for what is worse.
func (s Severity) rank() int {
	if s == Critical {
		return 1
	}
	return 0
}

// sortFindings puts what is told before what is silenced, and the worst first.
func sortFindings(all []Finding) {
	silent := func(f Finding) int {
		if f.Exception != nil {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(silent(a), silent(b)), cmp.Compare(b.Severity.rank(), a.Severity.rank()), cmp.Compare(a.Key(), b.Key()))
	})
}

// breach is a promise that is broken now.
type breach struct {
	Finding
	patience time.Duration // how long it must last to be told
	rest     time.Duration // how long the promise must be kept again
}
