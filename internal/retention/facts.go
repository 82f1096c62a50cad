package retention

import "time"

// Facts are what a decision needs to know beyond the history.
type Facts struct {
	Proofs  []Proof       `json:"proofs,omitempty"`  // of drills
	Damaged []string      `json:"damaged,omitempty"` // bases that a check or a drill found damaged
	Reports []DrillReport `json:"reports,omitempty"` // that the repository lists
	Claims  []Claim       `json:"claims,omitempty"`  // of those who are reading now
}

// Proof says that a drill recovered something from a base, and the recovered server answered.
type Proof struct {
	Base   string    `json:"base"`
	Time   time.Time `json:"time"`
	Report string    `json:"report,omitempty"` // the name of its report as the repository lists it
}

// DrillReport is one drill report.
type DrillReport struct {
	Name  string    `json:"name"` // as the repository lists it: "report/ID"
	Time  time.Time `json:"time"`
	Bytes int64     `json:"bytes"`
}

// Claim says that somebody reads a base and all log behind it.
type Claim struct {
	Base  string    `json:"base"`
	By    string    `json:"by"` // in words: "restore on db2"
	Until time.Time `json:"until"`
}
