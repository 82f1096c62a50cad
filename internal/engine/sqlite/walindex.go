package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// walIndex is what the first 120 bytes of a -shm file say: how far the WAL counts, and how far it has been copied into
// the database (struct WalIndexHdr and WalCkptInfo in SQLite's wal.c). Integers are in the byte order of the host.
type walIndex struct {
	salt     salt
	frames   uint32 // mxFrame: the last frame that counts; all up to it are committed
	pages    uint32 // size of the database in pages
	pageSize uint32
	sum      walSum // running checksum at frames
	backfill uint32 // nBackfill: frames up to this are in the database file
}

const (
	walIndexHeaderSize = 48
	walIndexSize       = 120 // the lock bytes that follow cannot be read on Windows while they are held
	attemptedOffset    = 128
)

var errTornIndex = errors.New("read wal-index: a writer is changing it")

// parseWALIndex reads both copies of the header. They differ while a writer is at it.
func parseWALIndex(b []byte) (walIndex, error) {
	if len(b) < walIndexSize {
		return walIndex{}, errTornIndex
	}
	h := b[:walIndexHeaderSize]
	if string(h) != string(b[walIndexHeaderSize:2*walIndexHeaderSize]) || h[12] == 0 {
		return walIndex{}, errTornIndex
	}
	ne := binary.NativeEndian
	if v := ne.Uint32(h); v != 3007000 {
		return walIndex{}, fmt.Errorf("read wal-index: version %d is not known", v)
	}
	bigEndianHost := ne.Uint16([]byte{0, 1}) == 1
	if (walSum{}).add(bigEndianHost, h[:40]) != (walSum{ne.Uint32(h[40:]), ne.Uint32(h[44:])}) {
		return walIndex{}, errTornIndex
	}
	size := uint32(ne.Uint16(h[14:]))
	size = size&0xfe00 | (size&1)<<16
	return walIndex{
		salt:     salt(binary.BigEndian.Uint64(h[32:])),
		frames:   ne.Uint32(h[16:]),
		pages:    ne.Uint32(h[20:]),
		pageSize: size,
		sum:      walSum{ne.Uint32(h[24:]), ne.Uint32(h[28:])},
		backfill: ne.Uint32(b[96:]),
	}, nil
}

// readWALIndex reads it from the -shm file, again while a writer changes it.
func readWALIndex(shm io.ReaderAt) (walIndex, error) {
	var b [walIndexSize]byte
	for try := 0; ; try++ {
		n, err := shm.ReadAt(b[:], 0)
		if err != nil && err != io.EOF {
			return walIndex{}, fmt.Errorf("read wal-index: %w", err)
		}
		x, err := parseWALIndex(b[:n])
		if err == nil || !errors.Is(err, errTornIndex) || try == 50 {
			return x, err
		}
		if try > 5 {
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// readAttempted reads nBackfillAttempted: frames above it are certainly not in the database file.
func readAttempted(shm io.ReaderAt) (uint32, error) {
	var b [4]byte
	if _, err := shm.ReadAt(b[:], attemptedOffset); err != nil {
		return 0, fmt.Errorf("read wal-index: %w", err)
	}
	return binary.NativeEndian.Uint32(b[:]), nil
}
