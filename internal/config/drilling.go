package config

import (
	"time"

	"github.com/backstaydb/backstay/internal/schedule"
)

// Drill says when and how a restore of a source is proved. In the file it is an expression alone (drill: daily) or a group of keys.
type Drill struct {
	Every       schedule.Expr `yaml:"every,omitempty" json:"every,omitempty" doc:"when, as in daily or weekly; see when" required:"true"`
	To          []string      `yaml:"to,omitempty" json:"to,omitempty" doc:"what is recovered to, one drill for each: random (a random base and moment, one time in four the tip), latest (the tip), fingerprint (the newest moment of which a digest was taken at the source); the first two if not given, and half of the random ones go where there is a digest" enum:"random,latest,fingerprint"`
	Fingerprint string        `yaml:"fingerprint,omitempty" json:"fingerprint,omitempty" doc:"whether digests of the data are taken at the source as often, for drills to compare with: auto (the default: where the engine needs them and the source lets us read) or off" enum:"auto,off"`
	Checks      []Check       `yaml:"checks,omitempty" json:"checks,omitempty" doc:"questions of the owner to the recovered data"`
}

// Check is one question to recovered data.
type Check struct {
	Name    string   `yaml:"name,omitempty" json:"name,omitempty" doc:"for the report; the question itself if not given"`
	SQL     string   `yaml:"sql,omitempty" json:"sql,omitempty" doc:"a query that gives one value"`
	Expect  string   `yaml:"expect,omitempty" json:"expect,omitempty" doc:"what that value must be, as text; without it any answer but an error, NULL, 0, false or nothing will do"`
	Command []string `yaml:"command,omitempty" json:"command,omitempty" doc:"a program and its arguments, run in the folder of this file; it gets the DSN of the recovered data as BACKSTAY_DSN and must end with 0"`
	Timeout Span     `yaml:"timeout,omitempty" json:"timeout,omitempty" doc:"for how long it may take; 10m if not given"`

	Database string `yaml:"database,omitempty" json:"database,omitempty" doc:"which database of a server is asked; the one in the source's URL, or else the only one that somebody made, if not given"`
}

// DefaultCheckTimeout is for how long a check may take that names no time.
const DefaultCheckTimeout = 10 * time.Minute

// Limit is Timeout or its default.
func (c Check) Limit() time.Duration {
	if c.Timeout > 0 {
		return time.Duration(c.Timeout)
	}
	return DefaultCheckTimeout
}

// IsZero reports whether no drill is asked for.
func (d Drill) IsZero() bool {
	return d.Every.IsZero() && len(d.To) == 0 && len(d.Checks) == 0 && d.Fingerprint == ""
}

// Fingerprints reports whether digests are taken at the source.
func (d Drill) Fingerprints() bool { return d.Fingerprint != switchOff }

// drillTargets are what drills can recover to.
var drillTargets = []string{"random", "latest", "fingerprint"}

// UnmarshalYAML reads both forms.
func (d *Drill) UnmarshalYAML(unmarshal func(any) error) error {
	var every schedule.Expr
	if err := unmarshal(&every); err == nil {
		*d = Drill{Every: every}
		return nil
	}
	type group Drill
	return unmarshal((*group)(d))
}

// Targets are what drills of the source recover to.
func (d Drill) Targets() []string {
	if len(d.To) == 0 {
		return []string{"random", "latest"}
	}
	return d.To
}
