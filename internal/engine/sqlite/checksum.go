package sqlite

import (
	"encoding/binary"
	"hash/crc64"

	"github.com/superfly/ltx"
)

// crcTable is LTX's. The checksum of a database is the exclusive or of the checksums of its pages, so that a changed
// page is taken out and put in again without reading the others.
var crcTable = crc64.MakeTable(crc64.ISO)

// pageSum equals ltx.ChecksumPage without its allocations and without the flag in the topmost bit.
func pageSum(page uint32, data []byte) uint64 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], page)
	return crc64.Update(crc64.Update(0, crcTable, b[:]), crcTable, data) &^ uint64(ltx.ChecksumFlag)
}

// checksum makes LTX's spelling of the exclusive or of page sums.
func checksum(sum uint64) ltx.Checksum { return ltx.ChecksumFlag | ltx.Checksum(sum) }

// sumOf undoes checksum.
func sumOf(c ltx.Checksum) uint64 { return uint64(c &^ ltx.ChecksumFlag) }
