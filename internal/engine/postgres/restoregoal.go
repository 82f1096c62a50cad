package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// position makes a position of an LSN.
func position(timeline uint32, at wal.LSN) history.Position {
	return history.Position{Timeline: timeline, Seq: uint64(at), Mark: at.String()}
}

// goalPosition is where to stop. The server is never asked to find a moment: it could not tell one after the last commit
// from damage.
func goalPosition(ctx context.Context, log engine.Log, to engine.Goal, l datadir.Label, c datadir.Control) (history.Position, error) {
	segments := log.Segments()
	switch {
	case len(segments) == 0:
		return history.Position{}, damaged("there is no log, and a base is not consistent without it")
	case !to.Position.IsZero():
		return to.Position, nil
	case to.Time.IsZero():
		return segments[len(segments)-1].To, nil
	}
	m, found, err := lastMark(ctx, log, func(m history.Mark) bool { return !m.Time.After(to.Time) })
	if err != nil {
		return history.Position{}, err
	}
	last := segments[len(segments)-1].To
	all, err := newLine(log, uint64(c.WALSegmentSize), wal.LSN(l.Start), wal.LSN(last.Seq), last.Timeline)
	if err != nil {
		return history.Position{}, err
	}
	stop, err := backupEnd(ctx, all, l)
	if err == nil && found && m.Position.Seq > stop.Seq {
		return m.Position, nil
	}
	return stop, err
}

// lastMark is the last mark of the log that ok accepts, on the way that the log takes over its timelines.
func lastMark(ctx context.Context, log engine.Log, ok func(history.Mark) bool) (last history.Mark, found bool, err error) {
	segments := log.Segments()
	left := history.Position{Seq: ^uint64(0)}
	for i := len(segments) - 1; i >= 0 && !found; i-- {
		if i+1 < len(segments) && segments[i+1].To.Timeline != segments[i].To.Timeline {
			left = segments[i+1].From
		}
		err := eachMark(ctx, log, i, func(m history.Mark) {
			if m.Position.Seq <= left.Seq && ok(m) {
				last, found = m, true
			}
		})
		if err != nil {
			return last, false, err
		}
	}
	return last, found, nil
}

func eachMark(ctx context.Context, log engine.Log, i int, each func(history.Mark)) error {
	s, err := log.Open(ctx, i)
	if err != nil {
		return fmt.Errorf("open segment %s: %w", log.Segments()[i].Name, err)
	}
	defer s.Close()
	for m, err := range s.Marks(ctx) {
		if err != nil {
			return fmt.Errorf("read segment %s: %w", log.Segments()[i].Name, err)
		}
		each(m)
	}
	return nil
}

// errFound ends a reading.
var errFound = errors.New("found")

// backupEnd is the first position at which the base is consistent: the end of the record with which the server ended
// the backup.
func backupEnd(ctx context.Context, l line, label datadir.Label) (history.Position, error) {
	var at wal.LSN
	s := wal.NewScanner(l.begin, wal.Options{SegmentSize: l.size, Event: func(e wal.Event) {
		if e.Kind == wal.BackupEnd && e.At == wal.LSN(label.Start) && at == 0 {
			at = e.Record.End
		}
	}})
	err := l.read(ctx, l.begin, l.goal, func(_ wal.LSN, p []byte) error {
		err := s.Feed(p)
		if at != 0 {
			return errFound
		}
		if err != nil {
			return damaged("%w", err)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		return history.Position{}, err
	}
	if at == 0 {
		return history.Position{}, damaged("the log does not hold the end of the base")
	}
	for _, st := range l.stretches {
		if at <= st.to {
			return position(st.timeline, at), nil
		}
	}
	return history.Position{}, damaged("the log does not hold the end of the base")
}

// lastCommit is the time of the last commit up to a position, zero if the log holds none.
func lastCommit(ctx context.Context, log engine.Log, up history.Position) (time.Time, error) {
	m, _, err := lastMark(ctx, log, func(m history.Mark) bool { return m.Position.Seq <= up.Seq })
	return m.Time, err
}
