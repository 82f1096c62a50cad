package wal

import (
	"encoding/binary"
	"hash/crc32"
)

// RecordHeaderSize is the size of a record's header (SizeOfXLogRecord).
const RecordHeaderSize = 24

// maxRecord is more than any server writes in one record (XLogRecordMaxSize is 1020 MiB).
const maxRecord = 1 << 30

// Resource managers whose records become events.
const (
	managerXLOG = 0
	managerXact = 1
)

// Record is where a record lies, and its header (XLogRecord).
type Record struct {
	Start   LSN    // of its header; never at the beginning of a page, where the page's header stands
	End     LSN    // the next record's, or the beginning of a page; of a segment after a switch
	Prev    LSN    // Start of the record before it
	Length  uint32 // with header, without padding and page headers
	XID     uint32 // of the transaction, 0 for none
	Manager uint8  // resource manager
	Info    uint8
	Sum     uint32 // CRC-32C of body and header, as it stands in the record
}

func parseRecord(b *[RecordHeaderSize]byte) Record {
	return Record{
		Length: binary.LittleEndian.Uint32(b[0:]), XID: binary.LittleEndian.Uint32(b[4:]), Prev: LSN(binary.LittleEndian.Uint64(b[8:])),
		Info: b[16], Manager: b[17], Sum: binary.LittleEndian.Uint32(b[20:]),
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the checksum of a record whose body sums up to body: the header comes last, without the sum itself.
func (r *Record) sum(body uint32, header []byte) uint32 {
	return crc32.Update(body, castagnoli, header[:20])
}

func align(n uint64) uint64 { return (n + 7) &^ 7 }
