package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

const (
	prefixLen = 20
	maxHeader = 64 << 20 // marks are the only part that grows
	maxData   = 1 << 30
)

var (
	magic  = [4]byte{'B', 'S', 'p', '0'}
	crcTab = crc32.MakeTable(crc32.Castagnoli)
)

// errUnwritable is wrapped by what no disk would take.
var errUnwritable = errors.New("fits in no record")

// kind says what a record is.
type kind byte

const (
	kindHead  kind = 1 // begins a journal
	kindPiece kind = 2
	kindBreak kind = 3 // a line ends, another begins
	kindSeal  kind = 4 // the spool was closed
	kindFork  kind = 5 // the source left the line for another timeline
)

const (
	flagLast     = 1 << 0 // the batch ends with this record
	flagComplete = 1 << 1
	flagHole     = 1 << 2
)

// record is one decoded record without its data.
type record struct {
	kind    kind
	journal uint64
	batch   uint64
	last    bool
	hole    bool         // nobody was watching just before the piece
	piece   engine.Piece // Data is nil; a head and a break use To, Until and Token as the bookmark
	gap     *history.Gap // of a break; of a fork, the piece tells
	prevLen int64        // of a head: how many bytes of the journal before it count
}

func (r *record) bookmark() engine.Bookmark {
	return engine.Bookmark{Position: r.piece.To, Token: r.piece.Token, Time: r.piece.Until}
}

// isPart reports whether p, with size bytes of data, belongs to what follows it: it is a part of a commit that another piece
// completes, or a file that is told where a line begins, before any log of it.
func isPart(p *engine.Piece, size int64) bool {
	return size > 0 && !p.From.Before(p.To)
}

// parted tells whether the log ends inside a commit after r, of which it did before or not.
func parted(before bool, r *record, size int64) bool {
	switch {
	case r.kind == kindBreak || r.kind == kindFork:
		return false
	case r.kind != kindPiece:
		return before
	default:
		return isPart(&r.piece, size) || before && !r.piece.Complete && !r.piece.From.Before(r.piece.To)
	}
}

// prefix is the fixed part of a record.
type prefix struct {
	header, data     int64
	dataCRC, headCRC uint32
}

func (p prefix) size() int64 { return prefixLen + p.header + p.data }

func decodePrefix(b []byte) (prefix, error) {
	if [4]byte(b[:4]) != magic {
		return prefix{}, errors.New("no record begins here")
	}
	p := prefix{
		header: int64(binary.LittleEndian.Uint32(b[4:])), data: int64(binary.LittleEndian.Uint32(b[8:])),
		dataCRC: binary.LittleEndian.Uint32(b[12:]), headCRC: binary.LittleEndian.Uint32(b[16:]),
	}
	if p.header > maxHeader || p.data > maxData {
		return prefix{}, errors.New("record has an impossible length")
	}
	return p, nil
}

// appendRecord appends prefix and header of r to dst; the data, written by the caller, follows.
func appendRecord(dst []byte, r *record, data []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, make([]byte, prefixLen)...)
	dst, err := appendHeader(dst, r)
	if err != nil {
		return dst[:start], err
	}
	header := dst[start+prefixLen:]
	if len(header) > maxHeader || len(data) > maxData {
		return dst[:start], fmt.Errorf("append to spool: a piece of %d bytes with %d marks %w", len(data), len(r.piece.Marks), errUnwritable)
	}
	p := dst[start : start+prefixLen]
	copy(p, magic[:])
	binary.LittleEndian.PutUint32(p[4:], uint32(len(header)))
	binary.LittleEndian.PutUint32(p[8:], uint32(len(data)))
	binary.LittleEndian.PutUint32(p[12:], crc32.Checksum(data, crcTab))
	binary.LittleEndian.PutUint32(p[16:], headSum(p, header))
	return dst, nil
}

func headSum(prefix, header []byte) uint32 {
	return crc32.Update(crc32.Checksum(prefix[:16], crcTab), crcTab, header)
}

// why is what a break says besides the bookmark: the gap as JSON, or the fork.
func (r *record) why() ([]byte, error) {
	switch {
	case r.gap != nil:
		return json.Marshal(r.gap)
	case r.kind == kindFork:
		return json.Marshal(r.piece.Fork)
	default:
		return nil, nil
	}
}

func appendHeader(b []byte, r *record) ([]byte, error) {
	var flags byte
	if r.last {
		flags |= flagLast
	}
	if r.hole {
		flags |= flagHole
	}
	if r.piece.Complete {
		flags |= flagComplete
	}
	b = append(b, byte(r.kind), flags)
	b = binary.AppendUvarint(b, r.journal)
	b = binary.AppendUvarint(b, r.batch)
	p := &r.piece
	b = appendPosition(b, p.From)
	b = appendPosition(b, p.To)
	b = appendTime(b, p.Since)
	b = appendTime(b, p.Until)
	b = appendBytes(b, []byte(p.File))
	b = binary.AppendVarint(b, p.Offset)
	b = appendBytes(b, p.Token)
	b = binary.AppendVarint(b, r.prevLen)
	why, err := r.why()
	if err != nil {
		return b, fmt.Errorf("append to spool: gap %w: %w", errUnwritable, err)
	}
	b = appendBytes(b, why)
	b = binary.AppendUvarint(b, uint64(len(p.Marks)))
	for i := range p.Marks {
		m := &p.Marks[i]
		b = appendPosition(b, m.Position)
		b = appendTime(b, m.Time)
		b = binary.AppendUvarint(b, m.XID)
		b = appendBytes(b, []byte(m.Name))
	}
	return b, nil
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

func appendPosition(b []byte, p history.Position) []byte {
	b = binary.AppendUvarint(b, uint64(p.Timeline))
	b = binary.AppendUvarint(b, p.Seq)
	return appendBytes(b, []byte(p.Mark))
}

// appendTime writes a time in nanoseconds since 1970, and whether there is one.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendVarint(append(b, 1), t.UnixNano())
}
