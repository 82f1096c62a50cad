package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// maxHistory is the largest history file that is read, bytes: some ten thousand timelines.
const maxHistory = 1 << 20

// findHistories collects the history files that the server needs and sees that they tell the same way as the log. A
// server that misses one ends on an older timeline without a word.
func findHistories(ctx context.Context, log engine.Log, l line, f facts, label datadir.Label) (map[uint32][]byte, error) {
	target := l.timeline()
	if target == 1 {
		return nil, nil
	}
	found, err := loggedHistories(ctx, log, l)
	if err != nil {
		return nil, err
	}
	text, ok := found[target]
	if !ok {
		text, err = os.ReadFile(f.path("pg_wal/" + wal.HistoryName(target)))
		switch {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist) && label.Timeline == target:
			// The base begins on this timeline, and nothing before it is needed.
			text = nil
		case errors.Is(err, fs.ErrNotExist):
			return nil, damaged("the history file %s is missing", wal.HistoryName(target))
		default:
			return nil, err
		}
		found[target] = text
	}
	h, err := wal.ParseHistory(target, text)
	if err != nil {
		return nil, damaged("%w", err)
	}
	return found, agrees(h, l)
}

// agrees compares a history file with the log.
func agrees(h wal.History, l line) error {
	for i, st := range l.stretches[1:] {
		before := l.stretches[i]
		if before.timeline == st.timeline {
			continue
		}
		if at, next, ok := h.Left(before.timeline); !ok || at != st.from || next != st.timeline {
			return damaged("the history of timeline %d does not say that timeline %d goes on as %d at %s, as the log does", h.Timeline, before.timeline, st.timeline, st.from)
		}
	}
	return nil
}

// loggedHistories reads the history files in the log. They lie where a timeline begins; only if one is not there all
// segments are looked through.
func loggedHistories(ctx context.Context, log engine.Log, l line) (map[uint32][]byte, error) {
	found := map[uint32][]byte{}
	if len(l.timelines) == 1 {
		return found, nil
	}
	segments := log.Segments()
	near := func(i int) bool {
		return segments[i].From.Seq == segments[i].To.Seq ||
			i > 0 && segments[i-1].To.Timeline != segments[i].To.Timeline ||
			i+1 < len(segments) && segments[i+1].To.Timeline != segments[i].To.Timeline
	}
	for _, far := range []bool{false, true} {
		for i := range segments {
			if near(i) == far {
				continue
			}
			if err := readHistories(ctx, log, i, found); err != nil {
				return nil, err
			}
			if _, ok := found[l.timeline()]; ok && far {
				return found, nil
			}
		}
		if _, ok := found[l.timeline()]; ok {
			break
		}
	}
	return found, nil
}

func readHistories(ctx context.Context, log engine.Log, i int, found map[uint32][]byte) error {
	s, err := log.Open(ctx, i)
	if err != nil {
		return fmt.Errorf("open segment %s: %w", log.Segments()[i].Name, err)
	}
	defer s.Close()
	for _, e := range s.Entries() {
		timeline, err := wal.ParseHistoryName(e.File)
		if err != nil {
			continue
		}
		text, err := readWhole(ctx, s, e)
		if err != nil {
			return fmt.Errorf("read %s: %w", e.File, err)
		}
		found[timeline] = text
	}
	return nil
}

func readWhole(ctx context.Context, s engine.LogSegment, e engine.LogEntry) ([]byte, error) {
	r, err := s.Read(ctx, e)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxHistory))
}
