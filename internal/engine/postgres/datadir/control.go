package datadir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// ControlName is where pg_control lies.
const ControlName = "global/pg_control"

// State is what a server was doing when it wrote pg_control.
type State uint32

// The states, as the server numbers them.
const (
	StartingUp State = iota
	ShutDown
	ShutDownInRecovery
	ShuttingDown
	InCrashRecovery
	InArchiveRecovery
	InProduction
)

var stateNames = [...]string{"starting up", "shut down", "shut down in recovery", "shutting down", "in crash recovery",
	"in archive recovery", "in production"}

// String is how pg_controldata prints it.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint32(s))
}

// Clean reports whether a server that starts here has nothing to recover.
func (s State) Clean() bool { return s == ShutDown || s == ShutDownInRecovery }

// Control is what pg_control says (server file src/include/catalog/pg_control.h). LSNs and sizes are in bytes.
type Control struct {
	SystemID       uint64
	Version        uint32 // of pg_control: 1201 in server 12, 1300 in 13 to 16, 1700, 1800
	CatalogVersion uint32
	State          State
	Time           time.Time // when it was written

	Checkpoint        wal.LSN // the record of the newest checkpoint
	Redo              wal.LSN // where recovery begins
	Timeline          uint32  // of that checkpoint
	PreviousTimeline  uint32
	FullPageWrites    bool
	MinRecovery       wal.LSN // recovery must come at least here; zero if it need not
	MinRecoveryLine   uint32
	BackupStart       wal.LSN // not zero while a restored base is being recovered
	BackupEnd         wal.LSN
	BackupEndRequired bool
	WALLevel          WALLevel
	WALLogHints       bool
	MaxConnections    int32 // these five must not be lower on a standby or a server that recovers
	MaxWorkers        int32
	MaxWALSenders     int32
	MaxPrepared       int32
	MaxLocks          int32
	TrackCommitTime   bool
	BlockSize         uint32
	SegmentBlocks     uint32 // blocks in one file of a relation
	WALBlockSize      uint32
	WALSegmentSize    uint32
	DataChecksums     uint32 // the version of page checksums; zero if there are none
}

// WALLevel is how much the log holds.
type WALLevel int32

// The levels, as the server numbers them.
const (
	Minimal WALLevel = iota
	Replica
	Logical
)

// String is how the setting is written.
func (l WALLevel) String() string {
	switch l {
	case Minimal:
		return "minimal"
	case Replica:
		return "replica"
	case Logical:
		return "logical"
	}
	return fmt.Sprintf("wal_level %d", int32(l))
}

// controlSize is how much of the file, of 8 KiB, any version uses.
const controlSize = 296

// ErrControl is what a pg_control that cannot be used is.
var ErrControl = errors.New("pg_control is damaged, or of a server that is not known here")

// ParseControl reads the content of pg_control. Damage, another byte order and versions that are not known are
// ErrControl.
func ParseControl(b []byte) (c Control, err error) {
	if len(b) < controlSize {
		return c, fmt.Errorf("parse pg_control: %d bytes: %w", len(b), ErrControl)
	}
	version := binary.LittleEndian.Uint32(b[8:])
	crcAt := 288
	switch version {
	case 1201, 1300, 1700:
	case 1800:
		crcAt = 292 // default_char_signedness came in before the nonce
	default:
		return c, fmt.Errorf("parse pg_control: version %d: %w", version, ErrControl)
	}
	if want, got := binary.LittleEndian.Uint32(b[crcAt:]), CRC32C(b[:crcAt]); want != got {
		return c, fmt.Errorf("parse pg_control: checksum %08x, want %08x: %w", got, want, ErrControl)
	}
	return decodeControl(b), nil
}

// decodeControl reads the fields, whose places are the same from 12 to 18.
func decodeControl(b []byte) Control {
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	i32 := func(at int) int32 { return int32(u32(at)) }
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	lsn := func(at int) wal.LSN { return wal.LSN(u64(at)) }
	return Control{
		SystemID: u64(0), Version: u32(8), CatalogVersion: u32(12), State: State(u32(16)), Time: time.Unix(int64(u64(24)), 0).UTC(),
		Checkpoint: lsn(32), Redo: lsn(40), Timeline: u32(48), PreviousTimeline: u32(52), FullPageWrites: b[56] != 0,
		MinRecovery: lsn(136), MinRecoveryLine: u32(144), BackupStart: lsn(152), BackupEnd: lsn(160), BackupEndRequired: b[168] != 0,
		WALLevel: WALLevel(i32(172)), WALLogHints: b[176] != 0,
		MaxConnections: i32(180), MaxWorkers: i32(184), MaxWALSenders: i32(188), MaxPrepared: i32(192), MaxLocks: i32(196),
		TrackCommitTime: b[200] != 0,
		BlockSize:       u32(216), SegmentBlocks: u32(220), WALBlockSize: u32(224), WALSegmentSize: u32(228),
		DataChecksums: u32(252),
	}
}

// controlTries is how often a pg_control that is being rewritten is read. The server writes it in one call, which takes
// microseconds.
const controlTries = 10

// ReadControl reads pg_control in root. A running server rewrites it in place: what was caught in the middle is read
// again. raw is the file as it was read, the same bytes that c stands in.
func ReadControl(root fs.FS) (c Control, raw []byte, err error) {
	for try := range controlTries {
		if try > 0 {
			time.Sleep(time.Duration(try) * time.Millisecond)
		}
		if raw, err = readFile(root, ControlName); err != nil {
			return c, nil, fmt.Errorf("read pg_control: %w", err)
		}
		if c, err = ParseControl(raw); err == nil {
			return c, raw, nil
		}
	}
	return c, nil, err
}

// readFile reads a small file with one request, which is what makes a copy of pg_control whole.
func readFile(root fs.FS, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, 64<<10)
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}
