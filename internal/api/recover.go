package api

import (
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// History is what one repository knows of a source.
type History struct {
	Source      string   `json:"source" doc:"name of the source"`
	Engine      string   `json:"engine" doc:"kind of the source"`
	Repository  string   `json:"repository" doc:"as in backstay.yaml, or the store's URL"`
	Store       string   `json:"store" doc:"where it lies"`
	Bases       []Base   `json:"bases" doc:"base backups, oldest first"`
	Windows     []Window `json:"windows" doc:"intervals in which any moment can be recovered"`
	Gaps        []Gap    `json:"gaps" doc:"stretches that cannot be recovered to"`
	Drills      []string `json:"drills" doc:"names of the signed drill reports"`
	Checkpoint  uint64   `json:"checkpoint" doc:"number of the newest signed checkpoint"`
	StoredBytes int64    `json:"stored_bytes" doc:"of all objects of this source"`
}

// Window is an interval in which any moment and any commit can be recovered.
type Window struct {
	Base  string           `json:"base" doc:"the base it begins with"`
	Start history.Position `json:"start" doc:"first position"`
	End   history.Position `json:"end" doc:"last position"`
	Since time.Time        `json:"since" doc:"first moment"`
	Until time.Time        `json:"until" doc:"last moment"`
}

// Gap is a stretch that cannot be recovered to.
type Gap struct {
	From   history.Position `json:"from" doc:"last position before it"`
	To     history.Position `json:"to" doc:"first position after it"`
	Since  time.Time        `json:"since" doc:"last moment before it"`
	Until  time.Time        `json:"until" doc:"first moment after it"`
	Reason string           `json:"reason" doc:"why, as whoever noticed it wrote"`
}

// Restore is a plan and, when it has been carried out, what came of it.
type Restore struct {
	Source          string           `json:"source" doc:"name of the source"`
	Repository      string           `json:"repository" doc:"read from"`
	Target          history.Target   `json:"target" doc:"as it was asked for; a time is absolute"`
	Base            string           `json:"base" doc:"that is laid"`
	BasePosition    history.Position `json:"base_position" doc:"where that base stands"`
	Segments        int              `json:"segments" doc:"of log that are replayed"`
	FetchBytes      int64            `json:"fetch_bytes" doc:"of objects, as stored"`
	LayBytes        int64            `json:"lay_bytes" doc:"of the base, plain"`
	ReplayBytes     int64            `json:"replay_bytes" doc:"of log, plain"`
	ExpectedSeconds float64          `json:"expected_seconds" doc:"how long it should take"`
	Guessed         bool             `json:"expected_is_guess" doc:"no drill has measured this source yet"`
	Reason          string           `json:"reason" doc:"why this base"`
	Warnings        []string         `json:"warnings,omitempty" doc:"what is remarkable about this plan"`
	Local           *Local           `json:"local,omitempty" doc:"what comes from the spool of this host because no repository has it yet; absent for nothing"`
	Done            *Restored        `json:"done,omitempty" doc:"absent with --dry-run"`
}

// Local is log that lies on this host only.
type Local struct {
	Commits int64            `json:"commits" doc:"at most; the target may lie before the last of them"`
	Bytes   int64            `json:"bytes" doc:"of log, plain"`
	To      history.Position `json:"to" doc:"up to which position"`
	Until   time.Time        `json:"until" doc:"up to which moment"`
}

// Restored is what a restore did.
type Restored struct {
	Dir            string           `json:"dir" doc:"where the data lies"`
	Files          []string         `json:"files" doc:"what a person opens"`
	Position       history.Position `json:"position" doc:"where the data stands, as the engine says"`
	Time           time.Time        `json:"time" doc:"of the last commit in it"`
	Digest         string           `json:"digest,omitempty" doc:"the engine's digest over the whole data"`
	Server         *Started         `json:"server,omitempty" doc:"the server that was left running"`
	Elsewhere      []Elsewhere      `json:"elsewhere,omitempty" doc:"what is not as it must be in one repository and was taken from another"`
	Notes          []string         `json:"notes,omitempty" doc:"what a person should know before the data is used"`
	Next           string           `json:"next,omitempty" doc:"what a person does next"`
	FetchSeconds   float64          `json:"fetch_seconds" doc:"waiting for objects that were not laid along the way"`
	LaySeconds     float64          `json:"lay_seconds" doc:"fetching, verifying and writing the base"`
	ReplaySeconds  float64          `json:"replay_seconds" doc:"replaying the log"`
	SyncSeconds    float64          `json:"sync_seconds" doc:"making files durable"`
	RestoreSeconds float64          `json:"restore_seconds" doc:"all of it"`
}

// Started is a server that was left running on restored data.
type Started struct {
	DSN  string `json:"dsn" doc:"how a client of this host reaches it"`
	Stop string `json:"stop" doc:"the command that ends it"`
	Log  string `json:"log" doc:"the file that it logs to"`
}

// Elsewhere is something that a restore went round.
type Elsewhere struct {
	Object string `json:"object" doc:"its name in the store"`
	Lacks  string `json:"lacks" doc:"repository in which it is damaged, missing or cannot be read"`
	From   string `json:"from" doc:"repository that was read instead"`
	Reason string `json:"reason" doc:"what is wrong with it"`
}

// Check is what a check of one repository found.
type Check struct {
	Source     string   `json:"source" doc:"name of the source"`
	Repository string   `json:"repository" doc:"that was read"`
	Deep       bool     `json:"deep" doc:"whether every block was decrypted and compared"`
	Checkpoint uint64   `json:"checkpoint" doc:"number of the newest signed checkpoint"`
	Objects    int      `json:"objects" doc:"that were read"`
	Bytes      int64    `json:"bytes" doc:"that were read"`
	Seconds    float64  `json:"check_seconds" doc:"how long it took"`
	Damage     []Damage `json:"damage" doc:"what is not as it was written; empty is good"`
}

// Damage is one thing that is not as it was written.
type Damage struct {
	Object  string `json:"object" doc:"its name in the store"`
	Kind    string `json:"kind" doc:"missing, altered, forged, rolled back and so on"`
	Detail  string `json:"detail" doc:"what is wrong, for people"`
	Want    string `json:"want,omitempty" doc:"as it was written"`
	Got     string `json:"got,omitempty" doc:"as it is"`
	Affects string `json:"affects,omitempty" doc:"what cannot be recovered because of it"`
}

// Keys says who can read a source's history, and who may sign.
type Keys struct {
	Source        string    `json:"source" doc:"name of the source"`
	Repository    string    `json:"repository" doc:"that says so"`
	Number        int       `json:"number" doc:"of the key object; it rises with each change"`
	Created       time.Time `json:"created" doc:"when it was last changed"`
	Recipient     string    `json:"recipient" doc:"age recipient that new packs are sealed to"`
	Readers       []Reader  `json:"readers" doc:"who can read"`
	Signers       []string  `json:"signers" doc:"verifier keys of those who may sign"`
	Authenticated bool      `json:"authenticated" doc:"whether this list was shown to be made by who may; false where neither a key nor a pinned signer was at hand"`

	Withdrawn []Withdrawn `json:"withdrawn,omitempty" doc:"keys that are no readers any more, and what their owners can still open if they kept them"`
}

// Withdrawn is a key that was taken off the readers.
type Withdrawn struct {
	Name      string    `json:"name" doc:"of who read"`
	Recipient string    `json:"recipient" doc:"public half of the key"`
	Since     time.Time `json:"since" doc:"when it was taken off"`
	Rotated   bool      `json:"rotated" doc:"whether what comes is sealed to an identity that it does not know"`
	Bases     []string  `json:"bases,omitempty" doc:"that it opens"`
	Objects   int       `json:"objects" doc:"that it opens: bases and segments"`
	Bytes     int64     `json:"bytes" doc:"stored, of those"`
	Newest    time.Time `json:"newest,omitzero" doc:"the last moment that some of them hold"`
}

// Reader is somebody whose key opens the history.
type Reader struct {
	Name      string `json:"name" doc:"of the reader"`
	Recipient string `json:"recipient" doc:"public half of the reader's age key"`
}
