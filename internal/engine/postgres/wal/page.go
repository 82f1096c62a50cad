package wal

import "encoding/binary"

// PageSize is the size of a page of log (XLOG_BLCKSZ). Servers that were compiled with another are not supported.
const PageSize = 8192

// Lengths of the two kinds of page header. The first page of each segment has the long one.
const (
	ShortHeaderSize = 24
	LongHeaderSize  = 40
)

// Flags of a page header.
const (
	FirstIsContRecord          = 0x0001 // the page begins with the rest of a record
	LongHeader                 = 0x0002
	BackupRemovable            = 0x0004
	FirstIsOverwriteContRecord = 0x0008 // the rest of a record was never written; what stands here replaces it
)

// PageHeader stands at the beginning of each page (XLogPageHeaderData, XLogLongPageHeaderData).
type PageHeader struct {
	Magic    uint16
	Flags    uint16
	Timeline uint32 // of the first record on the page
	Address  LSN    // of the page
	Rest     uint32 // bytes still to come of the record that the page before ended in

	// Of the long header only.
	SystemID    uint64
	SegmentSize uint32
	PageSize    uint32
}

// IsLong reports whether it is the header of a segment's first page.
func (h PageHeader) IsLong() bool { return h.Flags&LongHeader != 0 }

// Size is the number of bytes that it takes.
func (h PageHeader) Size() int {
	if h.IsLong() {
		return LongHeaderSize
	}
	return ShortHeaderSize
}

// Version is the major version of the server that wrote the page, 0 if it is not one of 12 to 18.
func (h PageHeader) Version() int {
	switch h.Magic {
	case 0xD101:
		return 12
	case 0xD106:
		return 13
	case 0xD10D:
		return 14
	case 0xD110:
		return 15
	case 0xD113:
		return 16
	case 0xD116:
		return 17
	case 0xD118:
		return 18
	}
	return 0
}

// ParsePageHeader reads the header at the beginning of b. ok is false if b is too short for it.
func ParsePageHeader(b []byte) (h PageHeader, ok bool) {
	if len(b) < ShortHeaderSize {
		return h, false
	}
	h = PageHeader{
		Magic: binary.LittleEndian.Uint16(b), Flags: binary.LittleEndian.Uint16(b[2:]),
		Timeline: binary.LittleEndian.Uint32(b[4:]), Address: LSN(binary.LittleEndian.Uint64(b[8:])),
		Rest: binary.LittleEndian.Uint32(b[16:]),
	}
	if !h.IsLong() {
		return h, true
	}
	if len(b) < LongHeaderSize {
		return h, false
	}
	h.SystemID = binary.LittleEndian.Uint64(b[24:])
	h.SegmentSize = binary.LittleEndian.Uint32(b[32:])
	h.PageSize = binary.LittleEndian.Uint32(b[36:])
	return h, true
}

// AppendPageHeader appends the header as the server writes it.
func AppendPageHeader(b []byte, h PageHeader) []byte {
	b = binary.LittleEndian.AppendUint16(b, h.Magic)
	b = binary.LittleEndian.AppendUint16(b, h.Flags)
	b = binary.LittleEndian.AppendUint32(b, h.Timeline)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Address))
	b = binary.LittleEndian.AppendUint32(b, h.Rest)
	b = append(b, 0, 0, 0, 0)
	if !h.IsLong() {
		return b
	}
	b = binary.LittleEndian.AppendUint64(b, h.SystemID)
	b = binary.LittleEndian.AppendUint32(b, h.SegmentSize)
	return binary.LittleEndian.AppendUint32(b, h.PageSize)
}
