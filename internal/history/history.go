package history

import "time"

// BaseType says what a base stores.
type BaseType string

// The types of base: every block, what changed since the last full, what changed since the last base.
const (
	Full         BaseType = "full"
	Differential BaseType = "differential"
	Incremental  BaseType = "incremental"
)

// Base is a consistent copy of a source. Data of the base alone stands somewhere in Start..Stop; with the log of
// that stretch it stands at Stop, the first position that can be recovered to. Engines whose copy is already
// consistent give Start == Stop.
type Base struct {
	ID          string    `json:"id"`
	Type        BaseType  `json:"type"`
	Parent      string    `json:"parent,omitempty"` // the base a differential or incremental builds on
	SystemID    string    `json:"system_id"`
	Start       Position  `json:"start"`
	Stop        Position  `json:"stop"`
	StartTime   time.Time `json:"start_time"`
	StopTime    time.Time `json:"stop_time"`    // a moment at which the source stood at Stop
	Bytes       int64     `json:"bytes"`        // of plain data
	StoredBytes int64     `json:"stored_bytes"` // of packs, maps and manifest as stored

	// DamagedPages is how many pages of the source were damaged when the base was taken, by their own checksums. They
	// are in the base as they were.
	DamagedPages int64 `json:"damaged_pages,omitempty"`
}

// Segment is one contiguous, immutable piece of log: everything after From, up to and including To.
type Segment struct {
	Name        string    `json:"name"` // of the object, relative to the source
	From        Position  `json:"from"`
	To          Position  `json:"to"`
	Since       time.Time `json:"since"` // all that was committed in (Since, Until] lies in this segment
	Until       time.Time `json:"until"`
	Commits     int64     `json:"commits"`
	Bytes       int64     `json:"bytes"`
	StoredBytes int64     `json:"stored_bytes"`
	Tip         bool      `json:"tip,omitempty"` // shipped early, to be replaced by a full-size segment
}

// Fork says that timeline Child begins at At, a position of its parent timeline.
type Fork struct {
	Child uint32   `json:"child"`
	At    Position `json:"at"`
}

// Gap is a stretch that cannot be recovered to. Positions are equal where only moments, not positions, are lost.
type Gap struct {
	From   Position  `json:"from"`
	To     Position  `json:"to"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
}

// Moment says that at Time nothing beyond Position had been committed, so the log was known to be whole until then.
type Moment struct {
	Position Position  `json:"position"`
	Time     time.Time `json:"time"`
}

// Mark is one commit, or one named point, inside a segment: what times, transaction numbers and names are
// resolved with. Name is empty for plain commits.
type Mark struct {
	Position Position
	Time     time.Time
	XID      uint64 // the engine's transaction number where it is not Position.Seq; zero means none
	Name     string
}

// History is all that is known of one source in one repository, in any order. It is a value: copy it freely, and
// treat its slices as read-only.
type History struct {
	Source   string    `json:"source"`
	Engine   string    `json:"engine"`
	Bases    []Base    `json:"bases"`
	Segments []Segment `json:"segments"`
	Forks    []Fork    `json:"forks,omitempty"`
	Gaps     []Gap     `json:"gaps,omitempty"`  // as recorded by whoever noticed them
	Whole    Moment    `json:"whole,omitempty"` // the newest statement of completeness
}

// Window is an interval in which any moment and any commit can be reached, from Base on.
type Window struct {
	Base  string    `json:"base"` // the base it starts with
	Start Position  `json:"start"`
	End   Position  `json:"end"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`

	// Abandoned windows lie on a timeline that the source has left at a fork. A position reaches into them; a time
	// only where it names the timeline.
	Abandoned bool `json:"abandoned,omitempty"`
}

// Chain is what a target is recovered from: one base and the segments, in order, that reach the target. The last
// segment may go beyond Stop; the first may begin before Base.Stop.
type Chain struct {
	Base     Base      `json:"base"`
	Segments []Segment `json:"segments"`
	Target   Target    `json:"target"`
	Stop     Position  `json:"stop"`  // where to stop; zero where only the marks inside the last segment can tell
	Until    time.Time `json:"until"` // of a target in time, that time; else when Stop had been reached

	// Forks are the branchings the chain passes. A segment of the parent may run on beyond the fork: what follows
	// there is not part of the chain.
	Forks []Fork `json:"forks,omitempty"`
}
