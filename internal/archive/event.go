package archive

import (
	"log/slog"
	"time"
)

// EventKind says what happened.
type EventKind string

// The kinds of event.
const (
	SourceUp       EventKind = "source-up"
	SourceDown     EventKind = "source-down"
	RepositoryUp   EventKind = "repository-up"
	RepositoryDown EventKind = "repository-down"
	BaseStarted    EventKind = "base-started"
	BaseProgress   EventKind = "base-progress"
	BaseDone       EventKind = "base-done"
	BaseFailed     EventKind = "base-failed"
	BaseDamaged    EventKind = "base-damaged" // the source is: the base holds what it holds
	BaseCopied     EventKind = "base-copied"
	GapFound       EventKind = "gap"
	SpoolAlarm     EventKind = "spool-alarm" // at 50, 80 and 100 % of the bound
	SpoolRoom      EventKind = "spool-room"  // capture goes on after the spool was full
	HeldAlarm      EventKind = "held-alarm"  // what the source keeps for us, at 50, 80 and 100 % of the bound
	SpoolLost      EventKind = "spool-lost"  // the spool is behind the repositories, or damaged
	SegmentCut     EventKind = "segment-cut"
	LogMissing     EventKind = "log-missing" // a repository lacks log that no one here has
	Stranger       EventKind = "stranger"    // somebody who is not listed signed in a repository; it does not count
	CutFailed      EventKind = "cut-failed"  // a segment could not be sealed
)

// Event is one noteworthy thing.
type Event struct {
	Time       time.Time
	Kind       EventKind
	Repository string // "" where none is concerned
	Text       string // one line for people
	Err        error
	Done       int64 // of a base: bytes stored so far
	Percent    int   // of a spool alarm
	Took       Took  // of a base that was kept
}

// Took is how long the parts of a base took.
type Took struct {
	Copy   time.Duration // reading the source, sealing and storing
	Wait   time.Duration // for the log that it needs
	Commit time.Duration // until it was listed
}

// emit tells an event and logs it.
func (a *Archive) emit(e Event) {
	e.Time = a.c.Now()
	level := slog.LevelInfo
	switch e.Kind {
	case BaseProgress, SegmentCut:
		level = slog.LevelDebug
	case SourceDown, RepositoryDown, GapFound, SpoolAlarm, SpoolLost, BaseFailed, BaseDamaged, LogMissing, CutFailed:
		level = slog.LevelWarn
	}
	attrs := []any{"source", a.c.Source, "event", string(e.Kind)}
	if e.Repository != "" {
		attrs = append(attrs, "repository", e.Repository)
	}
	if e.Err != nil {
		attrs = append(attrs, "err", e.Err)
	}
	a.c.Log.Log(a.ctx(), level, e.Text, attrs...)
	a.c.Events(e)
}
