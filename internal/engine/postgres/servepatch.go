package postgres

import (
	"encoding/binary"
	"fmt"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// A record that makes a tablespace names the folder that it had on the server it comes from. Replayed as it is, the
// restored server would demand that folder; on the host of a living source it would even write into the source's own
// files. So the record is served with another folder in its place, which is never longer.

// The record that makes a tablespace (tablespace.h: xl_tblspc_create_rec is the number and the path).
const (
	managerTablespace = 5
	infoMakeSpace     = 0x00
)

func makesTablespace(r wal.Record) bool {
	return r.Manager == managerTablespace && r.Info&0xF0 == infoMakeSpace
}

// patch is what is served in place of one byte of the log.
type patch struct {
	at   wal.LSN
	byte byte
}

// moveTablespace puts the folder that place gives into a record of files, and returns what it changed.
func moveTablespace(files []*segmentFile, r wal.Record, place func(oid uint32, path string) (string, error)) ([]patch, error) {
	b, err := readRecord(files, r)
	if err != nil {
		return nil, fmt.Errorf("read the record at %s: %w", r.Start, err)
	}
	body, ok := spaceOf(b.data[wal.RecordHeaderSize:])
	if !ok {
		return nil, damaged("the record at %s, which makes a tablespace, cannot be read", r.Start)
	}
	oid, path := binary.LittleEndian.Uint32(body), body[4:len(body)-1]
	where, err := place(oid, string(path))
	if err != nil {
		return nil, err
	}
	if len(where) > len(path) {
		return nil, fmt.Errorf("move tablespace %d from %s: the name %s is too long to stand in its place", oid, path, where)
	}
	before := append([]byte(nil), b.data...)
	clear(path)
	copy(path, where)
	binary.LittleEndian.PutUint32(b.data[20:], b.sum())
	var patches []patch
	for i, c := range b.data {
		if c == before[i] {
			continue
		}
		at := b.places[i]
		if _, err := b.file(at).WriteAt([]byte{c}, int64(at-b.file(at).start)); err != nil {
			return nil, err
		}
		patches = append(patches, patch{at, c})
	}
	return patches, nil
}

// Marks of the parts of a record (xlogrecord.h).
const (
	partShort  = 255
	partLong   = 254
	partOrigin = 253
	partTopXID = 252
)

// spaceOf finds number and path, with its closing zero, in the body of the record.
func spaceOf(b []byte) ([]byte, bool) {
	for len(b) > 5 {
		switch b[0] {
		case partOrigin:
			b = b[3:]
			continue
		case partTopXID:
			b = b[5:]
			continue
		case partShort:
			b = b[2:]
		case partLong:
			b = b[5:]
		default:
			return nil, false
		}
		return b, len(b) > 5 && b[len(b)-1] == 0
	}
	return nil, false
}
