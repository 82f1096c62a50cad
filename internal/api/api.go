// Package api is the control protocol between the command line and the daemon of one folder, and the shapes in which
// both speak of sources, repositories and bases. The shapes are what every --json prints, so their field names are a
// contract; each carries its meaning in a doc tag, from which docs/reference/json.md is made.
//
// The protocol is HTTP with JSON over a unix socket in .backstay, which only its owner may open. It carries a
// version; a command of another version is told so instead of being misunderstood. It decides nothing: whoever
// serves hands in a Controller.
package api

import (
	"context"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Version is the version of the protocol. Commands and daemons of different versions do not talk.
const Version = 0

// Controller is what a daemon can be asked.
type Controller interface {
	// Status says how all sources are doing. It answers from memory, at once.
	Status(ctx context.Context) (Status, error)
	// Backup takes a full base of one source now. progress is called from one goroutine at a time.
	Backup(ctx context.Context, source string, progress func(Progress)) (Base, error)
	// Plan says what is due and what comes.
	Plan(ctx context.Context) ([]Job, error)
	// Pause keeps a source or one of its jobs from beginning anything; Resume ends that.
	Pause(ctx context.Context, source string, p Pause) error
	Resume(ctx context.Context, source string, p Pause) error
	// RunNow makes a job due, and says what that leads to.
	RunNow(ctx context.Context, source string, p Pause) (string, error)
	// Order has something done with a cluster, and waits until it is done or refused.
	Order(ctx context.Context, cluster string, o ClusterOrder) (ClusterOutcome, error)
	// Recover has this host's voter go on alone, the others being lost for good.
	Recover(ctx context.Context, o VoterRecovery) (VoterRecovered, error)
}

// Status is how one host's protection is doing.
type Status struct {
	Version string     `json:"version" doc:"of backstay"`
	Running bool       `json:"running" doc:"whether a daemon follows the sources; if not, all else is read from the repositories"`
	PID     int        `json:"pid,omitempty" doc:"process id of the daemon"`
	Started *time.Time `json:"started_time,omitempty" doc:"when the daemon began"`
	Kept    *bool      `json:"kept,omitempty" doc:"whether all promises are kept; absent where none was made or nobody judges"`
	Refused string     `json:"refused,omitempty" doc:"why the file as it lies there is not in force: the daemon was told to read it anew, and goes on with the one of before"`
	Sources []Source   `json:"sources" doc:"one entry for each source"`

	Clusters []Cluster `json:"clusters,omitempty" doc:"one entry for each cluster; only from a running daemon"`
}

// Source is how one source is doing.
type Source struct {
	Name         string           `json:"name" doc:"as in backstay.yaml"`
	URL          string           `json:"url" doc:"what is protected"`
	Engine       string           `json:"engine" doc:"the kind of source"`
	Mode         string           `json:"mode,omitempty" doc:"how its log is captured"`
	State        string           `json:"state" doc:"starting, base (the first base is being taken), following, healing (after a gap in the log, until a new base stands), behind, failing, stopped, or elsewhere (another host captures it)"`
	Text         string           `json:"text,omitempty" doc:"one line for people"`
	Position     history.Position `json:"position,omitzero" doc:"newest position captured on this host, as timeline/sequence"`
	PositionTime time.Time        `json:"position_time,omitzero" doc:"when that position was committed"`
	BehindBytes  int64            `json:"behind_bytes" doc:"log that exists at the source and is not captured yet"`
	Captured     time.Time        `json:"captured_time,omitzero" doc:"all that was committed by then is captured on this host"`
	HeldBytes    int64            `json:"held_bytes" doc:"log that the source keeps only because of Backstay"`
	HoldsUp      float64          `json:"holds_up_seconds" doc:"how long the last look at the source held its writers up"`
	SpoolBytes   int64            `json:"spool_bytes" doc:"log kept on this host until every repository has it in a full segment"`
	SpoolLimit   int64            `json:"spool_limit_bytes" doc:"how much may be kept; at the bound capture stops"`
	Error        string           `json:"error,omitempty" doc:"the newest error, if it still stands"`
	Class        string           `json:"class,omitempty" doc:"whose promises hold for it"`
	Owner        string           `json:"owner,omitempty" doc:"who is responsible for it"`
	HeldLimit    int64            `json:"held_limit_bytes,omitempty" doc:"how much the source may keep because of Backstay"`
	HeldRoom     int64            `json:"held_room_bytes,omitempty" doc:"how much more of that fits on the source's disk, where that can be seen from here"`
	Promises     []Promise        `json:"promises,omitempty" doc:"what was promised for it, and how that stands; only from a running daemon"`
	Repositories []Repository     `json:"repositories" doc:"one entry for each repository of the source"`
	Advice       []Advice         `json:"advice,omitempty" doc:"what should be changed at the source"`
	Remains      string           `json:"remains,omitempty" doc:"what stays at the source when Backstay stops"`
	Sentinel     *Sentinel        `json:"sentinel,omitempty" doc:"the row at the source that says which second it is; absent where none was asked for"`
}

// Sentinel is the row that is written into a source each second.
type Sentinel struct {
	Table   string    `json:"table,omitempty" doc:"where it is written; it stays when Backstay stops"`
	Written time.Time `json:"written,omitzero" doc:"when it was written last"`
	Error   string    `json:"error,omitempty" doc:"why it is not written now; commit times serve meanwhile"`
	Hint    string    `json:"hint,omitempty" doc:"what to do about that"`
}

// Repository is what one repository holds of one source.
type Repository struct {
	Name         string           `json:"name" doc:"as in backstay.yaml"`
	Store        string           `json:"store" doc:"where it lies"`
	State        string           `json:"state" doc:"ok, behind, failing or empty"`
	Position     history.Position `json:"position,omitzero" doc:"newest durable position"`
	PositionTime time.Time        `json:"position_time,omitzero" doc:"when it was committed"`
	DurableTime  time.Time        `json:"durable_time,omitzero" doc:"everything committed up to this time is durable here"`
	LagSeconds   float64          `json:"lag_seconds" doc:"age of the oldest commit that is not durable here yet; without a daemon, the age of durable_time"`
	LagP99       float64          `json:"lag_p99_seconds" doc:"from a commit until it was durable here: 99 of 100 commits of the last five minutes took no longer"`
	LagMax       float64          `json:"lag_max_seconds" doc:"the longest of them"`
	LagBytes     int64            `json:"lag_bytes" doc:"log captured on this host and not durable here yet"`
	Bases        int              `json:"bases" doc:"number of base backups"`
	LastBase     time.Time        `json:"last_base_time,omitzero" doc:"when the newest base stood"`
	StoredBytes  int64            `json:"stored_bytes" doc:"of all objects of this source"`
	Error        string           `json:"error,omitempty" doc:"the newest error, if it still stands"`
	Hint         string           `json:"hint,omitempty" doc:"what to do about the error"`
}

// Advice is one thing to tell the person who runs the source.
type Advice struct {
	Severity string `json:"severity" doc:"info or warning"`
	Text     string `json:"text" doc:"what stands in the way"`
	Do       string `json:"do,omitempty" doc:"the command or SQL that helps"`
}

// Base is one base backup in one repository or more.
type Base struct {
	ID          string           `json:"id" doc:"of the base"`
	Type        string           `json:"type" doc:"full, differential or incremental"`
	Source      string           `json:"source" doc:"of what"`
	Position    history.Position `json:"position" doc:"the first position that can be recovered with it"`
	Time        time.Time        `json:"time" doc:"when the source stood there"`
	Bytes       int64            `json:"bytes" doc:"of plain data"`
	StoredBytes int64            `json:"stored_bytes" doc:"as stored, compressed and encrypted"`
	Seconds     float64          `json:"seconds,omitempty" doc:"how long it took"`

	DamagedPages int64 `json:"damaged_pages,omitempty" doc:"how many pages of the source had a wrong checksum; they are in the base as they were"`
}

// Progress is how far a piece of work has come.
type Progress struct {
	Phase string `json:"phase" doc:"what is being done"`
	Done  int64  `json:"done_bytes" doc:"so far"`
	Total int64  `json:"total_bytes" doc:"in all; 0 if not known"`
}

// BaseOf is b as it is shown.
func BaseOf(source string, b history.Base) Base {
	return Base{
		ID: b.ID, Type: string(b.Type), Source: source, Position: b.Stop, Time: b.StopTime,
		Bytes: b.Bytes, StoredBytes: b.StoredBytes, Seconds: b.StopTime.Sub(b.StartTime).Seconds(), DamagedPages: b.DamagedPages,
	}
}
