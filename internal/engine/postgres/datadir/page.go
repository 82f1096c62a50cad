package datadir

import (
	"encoding/binary"

	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

// Places in the header of a page (server file src/include/storage/bufpage.h).
const (
	checksumAt     = 8
	upperAt        = 14
	pageHeaderSize = 24
)

// PageState is what a look at one page says.
type PageState int

// The states of a page. A New one was never written to: it is all zeros.
const (
	PageGood PageState = iota
	PageNew
	PageBad
)

// CheckPage verifies the checksum of page, the block-th of its relation.
func CheckPage(page []byte, block uint32) PageState {
	if len(page) < pageHeaderSize {
		return PageBad
	}
	if binary.LittleEndian.Uint16(page[upperAt:]) == 0 {
		if allZero(page) {
			return PageNew
		}
		return PageBad
	}
	if PageChecksum(page, block) != binary.LittleEndian.Uint16(page[checksumAt:]) {
		return PageBad
	}
	return PageGood
}

// PageLSN is the end of the log record that changed page last.
func PageLSN(page []byte) wal.LSN {
	if len(page) < pageHeaderSize {
		return 0
	}
	return wal.LSN(binary.LittleEndian.Uint32(page))<<32 | wal.LSN(binary.LittleEndian.Uint32(page[4:]))
}

func allZero(p []byte) bool {
	for len(p) >= 8 {
		if binary.LittleEndian.Uint64(p) != 0 {
			return false
		}
		p = p[8:]
	}
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
