package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// What ends a stream decides whether the log can come again:
//
//	what the server said or sent              what it means                               then
//	undefined_file (58P01)                    the segment was removed                     a gap at once
//	another whole record, wal_level minimal   this log is another one, or no use          a gap at once
//	the end of a timeline inside of a record  the rest of the record was never written    a gap at once
//	log whose headers or checksums are wrong  damaged there, or only on the way to us     read again; a gap if it stays the same
//	data_corrupted (XX001)                    the segment is too short                    read again; a gap if it stays the same
//	io_error (58030)                          a device fails, or has to catch its breath  read again for a minute; then a gap
//	all else                                  a restart, a failover, a right or a limit   the error: the caller tries again
//
// A gap costs a base and the moments up to it, so it is not concluded from one look at what a network or a device may
// have spoiled; and it must be concluded at some time, or the slot fills the server's disk with log that nobody can get.

// How often log is looked at before it is given up, with pauses of 1, 2, 4 … seconds.
const (
	contentLooks = 3
	deviceLooks  = 7
	firstPause   = time.Second
)

// unreadable is log that the server has and that is not as it must be.
type unreadable struct {
	what   string // is wrong: the same in each look at the same damage
	reason string // for people
	looks  int    // that say the same make it certain
}

func (e *unreadable) Error() string { return "receive log: " + e.reason }

// badLog is what a scanner found wrong, at or behind what is here already.
func badLog(end *wal.EndError, floor wal.LSN) *unreadable {
	reason := fmt.Sprintf("the server's log is damaged behind %s: %s", end.At, end.Reason)
	if end.At <= floor {
		reason = fmt.Sprintf("the server's log does not go on from %s as it should: %s", floor, end.Reason)
	}
	return &unreadable{what: end.Reason, reason: reason, looks: contentLooks}
}

// suspicion is what was found wrong with the log behind a position.
type suspicion struct {
	position history.Position
	first    *unreadable // as it was seen first, when all that came before it was new
	count    int
}

// certain notes what was found wrong. It reports how often it was seen before, and that there is no need for another look.
// ok is false if it was something else than last time: then neither look says much.
func (s *suspicion) certain(at history.Position, bad *unreadable) (before int, certain, ok bool) {
	if s.first == nil || !s.position.Equal(at) {
		*s = suspicion{position: at, first: bad}
	}
	if s.first.what != bad.what {
		*s = suspicion{}
		return 0, false, false
	}
	s.count++
	return s.count - 1, s.count >= bad.looks, true
}

// lookAgain waits before unreadable log is asked for again. It returns a gap once it is certain that it cannot come.
func (f *follower) lookAgain(ctx context.Context, bad *unreadable) error {
	s := f.s
	before, certain, ok := f.bad.certain(f.position, bad)
	switch {
	case !ok:
		return fmt.Errorf("follow log: %w, and something else when it was read before", bad)
	case certain:
		return f.gap("%s; it was read %d times", f.bad.first.reason, bad.looks)
	}
	s.fault(bad)
	s.count(func(n *Counters) { n.Again++ })
	s.options.Log.WarnContext(ctx, "the server's log cannot be read; asking for it again", "source", s.options.Name, "err", bad)
	return backoff.Sleep(ctx, s.lookPause<<before)
}
