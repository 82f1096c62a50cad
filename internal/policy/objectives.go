package policy

import "time"

// Objective is one kind of promise.
type Objective string

// The objectives.
const (
	RPO       Objective = "rpo"        // how much may be lost: commits that are not durable yet
	RTO       Objective = "rto"        // how long a restore may take
	Window    Objective = "window"     // how far back one can go
	Coverage  Objective = "coverage"   // which share of the window can be recovered
	Drill     Objective = "drill"      // when a restore was proved last
	Check     Objective = "check"      // when the repository was read last, and that it is whole
	DeepCheck Objective = "deep-check" // when it was decrypted and decoded last
	Copies    Objective = "copies"     // how many repositories hold all
	Spool     Objective = "spool"      // room for what waits on this host, at the source, and on the disks of repositories
	Schedule  Objective = "schedule"   // work that is due is done
)

// Objectives are the promises made for one source. A zero field promises nothing.
type Objectives struct {
	RPO      time.Duration `json:"rpo,omitempty"`
	RTO      time.Duration `json:"rto,omitempty"`
	Window   time.Duration `json:"window,omitempty"`
	Coverage float64       `json:"coverage,omitempty"` // the least share of the window, 1 for all of it

	DrillAge     time.Duration `json:"drill_age,omitempty"`
	CheckAge     time.Duration `json:"check_age,omitempty"`
	DeepCheckAge time.Duration `json:"deep_check_age,omitempty"`

	// Copies is how many repositories must hold a commit before it counts as durable; less than 1 means 1.
	Copies int `json:"copies,omitempty"`

	Exceptions []Exception `json:"exceptions,omitempty"`
}

// Exception silences the findings of one objective until its end.
type Exception struct {
	Objective  Objective `json:"objective"`
	Repository string    `json:"repository,omitempty"` // "" means all
	End        time.Time `json:"end"`                  // an exception without an end does not count
	Reason     string    `json:"reason"`
	By         string    `json:"by"` // who approved it
}

func (o Objectives) copies() int { return max(1, o.Copies) }

// Exception finds the one that counts for a finding; nil if none does.
func (o Objectives) Exception(f Finding, now time.Time) *Exception {
	for _, e := range o.Exceptions {
		if e.Objective == f.Objective && (e.Repository == "" || e.Repository == f.Repository) && now.Before(e.End) {
			return &e
		}
	}
	return nil
}
