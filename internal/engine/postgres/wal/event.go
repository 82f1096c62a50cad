package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"
)

// EventKind says what a record is about.
type EventKind uint8

// The kinds of event.
const (
	Commit          EventKind = iota + 1 // Time, XID
	RestorePoint                         // Time, Name
	SegmentSwitch                        // the rest of the segment is empty
	Checkpoint                           // At is its redo point; Time, in seconds; Timeline, Previous; Final if the server was shut down
	EndOfRecovery                        // Time, Timeline, Previous
	ParameterChange                      // Level
	BackupEnd                            // At is where the backup began
)

// String names it.
func (k EventKind) String() string {
	names := [...]string{"", "commit", "restore point", "segment switch", "checkpoint", "end of recovery", "parameter change", "backup end"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("event %d", uint8(k))
}

// Event is a record that says more than which pages changed.
type Event struct {
	Kind     EventKind
	Record   Record
	Time     time.Time // the server's stamp
	XID      uint32    // that was committed; of a prepared transaction its own
	Prepared bool      // by COMMIT PREPARED
	Name     string
	At       LSN
	Timeline uint32 // on which the record stands
	Previous uint32 // the timeline before; equal to Timeline unless it begins here
	Final    bool
	Level    Level
}

// Level is the server's wal_level.
type Level uint32

// The levels of log. Only from Replica on is there enough in it to recover from.
const (
	Minimal Level = iota
	Replica
	Logical
)

// The xl_info of records that become events (pg_control.h, xact.h).
const (
	infoCheckpointShutdown = 0x00
	infoCheckpointOnline   = 0x10
	infoSwitch             = 0x40
	infoBackupEnd          = 0x50
	infoParameterChange    = 0x60
	infoRestorePoint       = 0x70
	infoEndOfRecovery      = 0x90

	infoCommit         = 0x00
	infoCommitPrepared = 0x30
	infoXactMask       = 0x70
	infoHasXinfo       = 0x80
)

// kind is what the record would become, 0 for nothing.
func (r *Record) kind() EventKind {
	switch r.Manager {
	case managerXact:
		if op := r.Info & infoXactMask; op == infoCommit || op == infoCommitPrepared {
			return Commit
		}
	case managerXLOG:
		switch r.Info & 0xF0 {
		case infoCheckpointShutdown, infoCheckpointOnline:
			return Checkpoint
		case infoSwitch:
			return SegmentSwitch
		case infoBackupEnd:
			return BackupEnd
		case infoParameterChange:
			return ParameterChange
		case infoRestorePoint:
			return RestorePoint
		case infoEndOfRecovery:
			return EndOfRecovery
		}
	}
	return 0
}

// parseEvent reads the body of a record that has a kind; version is the server's. cut says that the end of the body
// is missing, because it is too long to be kept.
func parseEvent(r Record, body []byte, cut bool, version int) (Event, error) {
	e := Event{Kind: r.kind(), Record: r}
	if e.Kind == SegmentSwitch {
		return e, nil
	}
	d, ok := mainData(body, cut)
	if ok {
		ok = e.parse(d, cut, version)
	}
	if !ok {
		return e, fmt.Errorf("the body of this %s record of %d bytes cannot be read", e.Kind, r.Length)
	}
	return e, nil
}

func (e *Event) parse(d []byte, cut bool, version int) bool {
	le := binary.LittleEndian
	switch {
	case e.Kind == Commit:
		return e.parseCommit(d, cut, version)
	case e.Kind == RestorePoint && len(d) >= 9: // xl_restore_point
		e.Time = Time(int64(le.Uint64(d)))
		name, _, _ := bytes.Cut(d[8:], []byte{0})
		e.Name = string(name)
	case e.Kind == Checkpoint && len(d) >= 16: // CheckPoint
		e.At, e.Timeline, e.Previous = LSN(le.Uint64(d)), le.Uint32(d[8:]), le.Uint32(d[12:])
		e.Final = e.Record.Info&0xF0 == infoCheckpointShutdown
		if len(d) >= 72 { // counted in whole seconds since 1970, as nothing else in the log
			e.Time = time.Unix(int64(le.Uint64(d[64:])), 0).UTC()
		}
	case e.Kind == EndOfRecovery && len(d) >= 16: // xl_end_of_recovery
		e.Time, e.Timeline, e.Previous = Time(int64(le.Uint64(d))), le.Uint32(d[8:]), le.Uint32(d[12:])
	case e.Kind == ParameterChange && len(d) >= 24: // xl_parameter_change
		e.Level = Level(le.Uint32(d[20:]))
	case e.Kind == BackupEnd && len(d) >= 8:
		e.At = LSN(le.Uint64(d))
	default:
		return false
	}
	return true
}

// Marks of the parts that a record is made of (xlogrecord.h).
const (
	partDataShort = 255
	partDataLong  = 254
	partOrigin    = 253
	partTopXID    = 252
)

// mainData finds the manager's own data in the body of a record without block references.
func mainData(b []byte, cut bool) ([]byte, bool) {
	for len(b) > 0 {
		var size int
		switch b[0] {
		case partDataShort:
			if len(b) < 2 {
				return nil, false
			}
			size, b = int(b[1]), b[2:]
		case partDataLong:
			if len(b) < 5 {
				return nil, false
			}
			size, b = int(binary.LittleEndian.Uint32(b[1:])), b[5:]
		case partOrigin:
			b = b[min(3, len(b)):]
			continue
		case partTopXID:
			b = b[min(5, len(b)):]
			continue
		default:
			return nil, false
		}
		if cut && size > len(b) {
			return b, true
		}
		return b, size == len(b)
	}
	return nil, false
}
