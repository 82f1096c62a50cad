package policy

import (
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Facts are what is known of one source and its repositories.
type Facts struct {
	Source    string    `json:"source"`
	Protected time.Time `json:"protected"` // since when it is under protection; zero: not yet

	Trouble Trouble `json:"trouble,omitzero"` // with following the source

	Repositories []Repository `json:"repositories,omitempty"`
	Drills       []DrillRun   `json:"drills,omitempty"` // the newest dozen or so, in any order
	Restore      Restore      `json:"restore,omitzero"` // what a restore to the newest moment needs

	Spool Room  `json:"spool,omitzero"` // what waits on this host
	Held  Room  `json:"held,omitzero"`  // log that the source keeps for us
	Jobs  []Job `json:"jobs,omitempty"`
}

// Trouble is an error that stands.
type Trouble struct {
	Text  string    `json:"text"` // "" for none
	Since time.Time `json:"since"`
	Do    string    `json:"do,omitempty"` // what helps, if that is known
}

// Repository is what is known of one repository of the source.
type Repository struct {
	Name     string        `json:"name"`
	Lag      time.Duration `json:"lag"`       // age of the oldest commit that is not durable there; zero if there is none
	LagBytes int64         `json:"lag_bytes"` // log that waits for it
	Trouble  Trouble       `json:"trouble,omitzero"`

	Disk Disk `json:"disk,omitzero"` // it lies on; zero: nobody knows

	Windows []history.Window `json:"windows,omitempty"` // that can be recovered from there
	Gaps    []history.Gap    `json:"gaps,omitempty"`    // between them, with reasons

	Checked     time.Time `json:"checked,omitzero"`      // the oldest moment at which some object of it was read last; zero: never
	DeepChecked time.Time `json:"deep_checked,omitzero"` // the same for decrypting and decoding
	Damage      []string  `json:"damage,omitempty"`      // that stands, in words
	DamageSince time.Time `json:"damage_since,omitzero"`
}

// DrillRun is one drill.
type DrillRun struct {
	Time       time.Time `json:"time"`
	Repository string    `json:"repository,omitempty"`
	Verdict    Verdict   `json:"verdict"`
	Reason     string    `json:"reason,omitempty"`
	Timing     Timing    `json:"timing"`
}

// Verdict is what a drill came to.
type Verdict string

// The verdicts.
const (
	Proved         Verdict = "proved"
	BackupBad      Verdict = "backup-bad"
	CheckFailed    Verdict = "check-failed" // a sound restore, and a check of its owner failed
	EnvironmentBad Verdict = "environment-bad"
	DataDiffers    Verdict = "data-differs" // a sound restore, and not what the source had there
)

// Restore is what a restore to the newest moment needs now.
type Restore struct {
	LayBytes int64     `json:"lay_bytes"`           // of the newest base, plain
	LogBytes int64     `json:"log_bytes"`           // behind it, plain
	LogRate  float64   `json:"log_rate"`            // how fast that grows, bytes a second
	NextBase time.Time `json:"next_base,omitempty"` // when it begins anew; zero: not planned
}

// Room is how full something with a bound is.
type Room struct {
	Bytes int64   `json:"bytes"`
	Limit int64   `json:"limit"` // zero: none is known
	Rate  float64 `json:"rate"`  // how fast it fills now, bytes a second; below zero: it empties
}

// Disk is the file system under a repository.
type Disk struct {
	Free int64   `json:"free"` // bytes
	Rate float64 `json:"rate"` // how fast that becomes less, over the last days, bytes a second; zero: it does not, or nobody knows
}

// Job is work that the schedule wants done.
type Job struct {
	Name    string    `json:"name"` // "base", "drill", "check"
	Due     time.Time `json:"due"`  // the oldest time at which it should have begun and did not; zero: nothing is overdue
	Why     string    `json:"why,omitempty"`
	Trouble Trouble   `json:"trouble,omitzero"` // of the last run, if it failed
	Tries   int       `json:"tries,omitempty"`  // that failed in a row
}
