package postgres

import (
	"fmt"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// route is how the log goes on behind a position.
type route struct {
	fork *history.Fork // to be entered first; nil to stay
	wait bool          // the server has less than we have, and may yet get it
	lost string        // why it cannot go on; "" if it can
}

// routeFrom decides how to go on from a position, given the history of the timeline that the server is on, and up to
// where it has log.
//
//	our timeline      our position          the log goes on
//	the server's      up to its end         there
//	the server's      behind its end        not: it has lost log (a standby may still receive it)
//	one it has left   up to the fork        there; the stream's end leads on
//	one it has left   behind the fork       at the fork, on the timeline that it went to
//	another           anywhere              not
func routeFrom(from history.Position, way wal.History, end wal.LSN, standby bool) route {
	at := wal.LSN(from.Seq)
	if from.Timeline == way.Timeline {
		switch {
		case at <= end:
			return route{}
		case standby:
			return route{wait: true}
		}
		return route{lost: fmt.Sprintf("the server's log ends at %s, before what is here: it lost log, or an older copy of it was started", end)}
	}
	left, next, ok := way.Left(from.Timeline)
	switch {
	case !ok:
		return route{lost: fmt.Sprintf("the server is on timeline %d, which does not descend from timeline %d", way.Timeline, from.Timeline)}
	case at < left:
		return route{}
	}
	return route{fork: &history.Fork{Child: next, At: position(from.Timeline, left)}}
}
