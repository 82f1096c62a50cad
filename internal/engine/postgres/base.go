package postgres

import (
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// takenBase is a base that is in the sink, whichever way it came there.
type takenBase struct {
	start, stop         wal.LSN
	startLine, stopLine uint32
	startTime, stopTime time.Time // of the server's clock
	bytes               int64
	damage              *datadir.Damage
	said                string // what the server said of damage that it found itself; "" if nothing
}

// result is b as the engine's contract has it. The log is followed from the beginning of the segment that holds the
// start: the server streams from there, and a restored server asks for whole segments. But not over a gap in that
// segment, which cannot be received this time either: then from the start on, which restores can do with. (Only on a
// standby; a primary begins a new segment for each base.)
func (b *takenBase) result(systemID string, segmentSize uint64, o engine.BaseOptions) (engine.BaseResult, error) {
	from, err := b.from(segmentSize, o)
	if err != nil {
		return engine.BaseResult{}, err
	}
	return engine.BaseResult{
		Base: history.Base{Type: history.Full, SystemID: systemID,
			Start: position(b.startLine, b.start), Stop: position(b.stopLine, b.stop),
			StartTime: b.startTime, StopTime: b.stopTime, Bytes: b.bytes, DamagedPages: b.damage.Pages()},
		Damage:   b.damageLines(),
		Bookmark: engine.Bookmark{Position: position(b.startLine, from), Time: b.startTime},
	}, nil
}

// from is where the log is followed from.
func (b *takenBase) from(segmentSize uint64, o engine.BaseOptions) (wal.LSN, error) {
	from, gap := b.start.SegmentStart(segmentSize), wal.LSN(o.After.Seq)
	if !o.NewTimeline || o.After.Timeline != b.startLine || from >= gap || gap > b.stop {
		return from, nil
	}
	if b.start < gap {
		return 0, engine.WithHint("a standby's bases begin at its last restart point: CHECKPOINT; on its primary leads to a newer one",
			"the base begins at %s, before the gap in the log at %s: what it needs cannot be received", b.start, gap)
	}
	return b.start, nil
}

// damageLines says what is damaged. A server may have found what passed here unseen: a page that it read twice.
func (b *takenBase) damageLines() []string {
	lines := b.damage.Lines()
	if b.said != "" && len(lines) == 0 {
		lines = []string{"the server says: " + b.said}
	}
	return lines
}
