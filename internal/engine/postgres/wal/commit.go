package wal

import "encoding/binary"

// Parts of a commit record, in this order, where its xinfo has the bit (xl_xact_xinfo in xact.h).
const (
	hasDatabase  = 1 << 0
	hasSubxacts  = 1 << 1
	hasRelations = 1 << 2
	hasInvals    = 1 << 3
	hasTwophase  = 1 << 4
	hasStats     = 1 << 8 // from 15 on
)

// Sizes of the parts.
const (
	databaseSize = 8
	xidSize      = 4
	relationSize = 12
	invalSize    = 16
	stats15Size  = 12 // xl_xact_stats_item: kind, database, object
	stats18Size  = 16 // the object's number has 64 bits
)

// parseCommit reads xl_xact_commit and of what follows it as much as tells which transaction was committed.
func (e *Event) parseCommit(d []byte, cut bool, version int) bool {
	if len(d) < 8 {
		return false
	}
	e.Time = Time(int64(binary.LittleEndian.Uint64(d)))
	e.XID = e.Record.XID
	e.Prepared = e.Record.Info&infoXactMask == infoCommitPrepared
	if !e.Prepared {
		return true
	}
	// The header names the transaction that said COMMIT PREPARED, if it had a number at all.
	e.XID = 0
	if e.Record.Info&infoHasXinfo == 0 {
		return false
	}
	xid, ok := preparedXID(d[8:], version)
	if ok {
		e.XID = xid
	}
	return ok || cut
}

func preparedXID(d []byte, version int) (xid uint32, ok bool) {
	if len(d) < 4 {
		return 0, false
	}
	xinfo := binary.LittleEndian.Uint32(d)
	d = d[4:]
	if xinfo&hasDatabase != 0 {
		d = d[min(databaseSize, len(d)):]
	}
	statsSize := uint64(stats15Size)
	if version >= 18 {
		statsSize = stats18Size
	}
	for _, part := range []struct {
		bit  uint32
		size uint64
	}{{hasSubxacts, xidSize}, {hasRelations, relationSize}, {hasStats, statsSize}, {hasInvals, invalSize}} {
		if xinfo&part.bit == 0 {
			continue
		}
		if len(d) < 4 {
			return 0, false
		}
		size := 4 + uint64(binary.LittleEndian.Uint32(d))*part.size
		if size > uint64(len(d)) {
			return 0, false
		}
		d = d[size:]
	}
	if xinfo&hasTwophase == 0 || len(d) < 4 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(d), true
}
