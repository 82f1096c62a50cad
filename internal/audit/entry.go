package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Action is what was done.
type Action string

// The actions. Others may be in the log: a reader shows them as they are.
const (
	Base     Action = "base"        // a base was taken
	Drop     Action = "drop"        // history was forgotten, by retention or by hand
	Restore  Action = "restore"     // data was restored
	Drill    Action = "drill"       // a restore was tried and asked
	Check    Action = "check"       // a repository was read and compared
	Repair   Action = "repair"      // a damaged object was replaced
	Copy     Action = "copy"        // history was copied to another repository
	Key      Action = "key"         // readers or signers changed, or the identity was rotated
	Protect  Action = "protect"     // a source came under protection
	Settings Action = "config"      // the configuration was loaded, or changed
	Policy   Action = "policy"      // an objective, an exception or a hold changed; a finding began or ended
	Pause    Action = "pause"       // a source or a job was paused
	Resume   Action = "resume"      // and went on
	Gap      Action = "gap"         // log was lost
	Failover Action = "failover"    // another member became primary
	Voter    Action = "voter"       // a host that coordinates the others came, left, or goes on alone
	Hook     Action = "hook"        // what the owner wants done before or after a piece of work was done
	Taken    Action = "fingerprint" // a digest of some of the data was taken at the source
	Daemon   Action = "daemon"      // the daemon began or ended
)

// Outcome is how it went.
type Outcome string

// The outcomes.
const (
	Began   Outcome = "began"   // it is decided and about to be done; another entry of the same job says how it went
	OK      Outcome = "ok"      // it is done
	Failed  Outcome = "failed"  // it is not done, or not known to be done; Error says why
	Refused Outcome = "refused" // nothing was touched
	Stopped Outcome = "stopped" // it was ended before it was done, on purpose
)

// Who is on whose behalf something was done.
type Who struct {
	User    string `json:"user,omitempty"`
	Host    string `json:"host,omitempty"`
	Command string `json:"command,omitempty"` // "backstay restore", or "daemon"
	Job     string `json:"job,omitempty"`     // the same in all entries, runs and traces of one piece of work
}

// Environment is where it was done.
type Environment struct {
	OS        string `json:"os,omitempty"`
	Arch      string `json:"arch,omitempty"`
	PID       int    `json:"pid,omitempty"`
	Directory string `json:"directory,omitempty"` // that holds the configuration
}

// Entry is one thing that was done. Empty fields are left out of the log.
type Entry struct {
	ID         string    `json:"id"`             // unique; Append makes one where it is empty
	Time       time.Time `json:"time"`           // when Outcome was known; Append takes now where it is zero
	Since      time.Time `json:"since,omitzero"` // when it began, of what took time
	Who        Who       `json:"who,omitzero"`
	What       Action    `json:"what"`
	Source     string    `json:"source,omitempty"`
	Repository string    `json:"repository,omitempty"`
	Objects    []string  `json:"objects,omitempty"` // to what it was done: bases, reports, recipients; of many, the first
	Why        string    `json:"why,omitempty"`     // the reason of the decision, in one sentence
	Outcome    Outcome   `json:"outcome"`
	Error      string    `json:"error,omitempty"`
	Bytes      int64     `json:"bytes,omitempty"` // that were moved

	Tool        string      `json:"tool,omitempty"`   // version of backstay
	Config      string      `json:"config,omitempty"` // SHA-256 of the configuration in force, hex
	Environment Environment `json:"environment,omitzero"`
}

// What Append keeps of an entry. What is longer is cut, not refused: an event must not be missing because its error was
// long.
const (
	maxText    = 4 << 10 // bytes of one text
	maxName    = 256     // bytes of one name
	maxObjects = 256
)

// filled returns the entry with what it does not say taken from stamp, without secrets, and within the bounds.
func (e Entry) filled(stamp Entry, id string, now time.Time) Entry {
	or := func(s *string, other string) {
		if *s == "" {
			*s = other
		}
	}
	or(&e.ID, id)
	or(&e.Who.User, stamp.Who.User)
	or(&e.Who.Host, stamp.Who.Host)
	or(&e.Who.Command, stamp.Who.Command)
	or(&e.Who.Job, stamp.Who.Job)
	or(&e.Tool, stamp.Tool)
	or(&e.Config, stamp.Config)
	if e.Environment == (Environment{}) {
		e.Environment = stamp.Environment
	}
	if e.Time.IsZero() {
		e.Time = now
	}
	e.Time = e.Time.UTC().Truncate(time.Microsecond)
	if !e.Since.IsZero() {
		e.Since = e.Since.UTC().Truncate(time.Microsecond)
	}
	for _, name := range []*string{&e.ID, &e.Who.User, &e.Who.Host, &e.Who.Job, &e.Source, &e.Repository, &e.Tool, &e.Config, &e.Environment.OS, &e.Environment.Arch} {
		*name = cut(mask(*name), maxName)
	}
	for _, text := range []*string{&e.Who.Command, &e.Why, &e.Error, &e.Environment.Directory} {
		*text = cut(mask(*text), maxText)
	}
	e.Objects = cutObjects(e.Objects)
	return e
}

func cutObjects(all []string) []string {
	var list []string
	for i, o := range all {
		if i == maxObjects-1 && len(all) > maxObjects {
			return append(list, fmt.Sprintf("… and %d more", len(all)-i))
		}
		list = append(list, cut(mask(o), maxName))
	}
	return list
}

// errIncomplete is for an entry that says nothing.
var errIncomplete = errors.New("an entry needs an id, a time, what was done, and the outcome")

func (e Entry) complete() error {
	if e.ID == "" || e.Time.IsZero() || e.What == "" || e.Outcome == "" {
		return errIncomplete
	}
	return nil
}

// parseEntry reads the body of a leaf. Fields that it does not know are skipped.
func parseEntry(body []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(body, &e); err != nil {
		return Entry{}, fmt.Errorf("parse entry: %w", err)
	}
	if err := e.complete(); err != nil {
		return Entry{}, fmt.Errorf("parse entry: %w", err)
	}
	return e, nil
}
