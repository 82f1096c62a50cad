package engine

import (
	"context"
	"time"
)

// Sentineler is implemented by engines that can keep a sentinel at a source: a row that says which second it is, so that recovered data
// says it too. It is written only where the owner of the source asks for it: it is a commit each second, in a table of ours.
type Sentineler interface {
	Engine
	// OpenSentinel makes the table unless it is there. A *NotGrantedError is a source that does not let us, or where it would cost too
	// much.
	OpenSentinel(ctx context.Context, url string, o Options) (Sentinel, error)
	// DropSentinel takes the row of this source away, and with the last one the table. what says what that is, "" if there is nothing;
	// with dry set nothing is changed.
	DropSentinel(ctx context.Context, url string, o Options, dry bool) (what string, err error)
}

// Sentinel writes one row. Its methods are called from one goroutine.
type Sentinel interface {
	// Table is what was made at the source, for people.
	Table() string
	// Write puts the time into the row, in a commit of its own. It waits for nobody: an error may be that others hold a lock.
	Write(ctx context.Context) error
	Close() error
}

// Second is what a sentinel says.
type Second struct {
	Time  time.Time `json:"time"`  // of the source's clock where it has one, else of the host's that wrote it
	Count int64     `json:"count"` // of rows that were written
}

// SentinelReader is implemented by servers whose data may hold a sentinel.
type SentinelReader interface {
	Server
	// Sentinel reads the newest one; ok is false if there is none.
	Sentinel(ctx context.Context) (s Second, ok bool, err error)
}
