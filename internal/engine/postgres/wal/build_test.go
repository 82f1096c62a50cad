package wal

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// builder writes log as a server does.
type builder struct {
	magic    uint16
	size     uint64
	timeline uint32
	start    LSN
	b        []byte
	prev     LSN
	records  []Record
}

func newBuilder(start LSN, size uint64) *builder {
	return &builder{magic: 0xD110, size: size, timeline: 1, start: start, prev: start - 100}
}

func (w *builder) pos() LSN { return w.start + LSN(len(w.b)) }

// header begins a page, with rest bytes of the record that goes on.
func (w *builder) header(rest int, flags uint16) {
	h := PageHeader{Magic: w.magic, Flags: flags, Timeline: w.timeline, Address: w.pos(), Rest: uint32(rest)}
	if rest > 0 {
		h.Flags |= FirstIsContRecord
	}
	if uint64(w.pos())%w.size == 0 {
		h.Flags |= LongHeader
		h.SystemID, h.SegmentSize, h.PageSize = 42, uint32(w.size), PageSize
	}
	w.b = AppendPageHeader(w.b, h)
}

func (w *builder) encode(manager, info uint8, xid uint32, body []byte) []byte {
	r := make([]byte, 20, RecordHeaderSize+len(body))
	binary.LittleEndian.PutUint32(r, uint32(RecordHeaderSize+len(body)))
	binary.LittleEndian.PutUint32(r[4:], xid)
	binary.LittleEndian.PutUint64(r[8:], uint64(w.prev))
	r[16], r[17] = info, manager
	sum := crc32.Update(crc32.Checksum(body, castagnoli), castagnoli, r)
	return append(binary.LittleEndian.AppendUint32(r, sum), body...)
}

// record writes one, over as many pages as it needs.
func (w *builder) record(manager, info uint8, xid uint32, body []byte) Record {
	if w.pos()%PageSize == 0 {
		w.header(0, 0)
	}
	raw := w.encode(manager, info, xid, body)
	r := Record{Start: w.pos(), Prev: w.prev, Length: uint32(len(raw)), XID: xid, Manager: manager, Info: info, Sum: binary.LittleEndian.Uint32(raw[20:])}
	for len(raw) > 0 {
		if w.pos()%PageSize == 0 {
			w.header(len(raw), 0)
		}
		n := min(len(raw), int(PageSize-w.pos()%PageSize))
		w.b = append(w.b, raw[:n]...)
		raw = raw[n:]
	}
	for w.pos()%8 != 0 {
		w.b = append(w.b, 0)
	}
	w.prev, r.End = r.Start, w.pos()
	if manager == managerXLOG && info == infoSwitch {
		for uint64(w.pos())%w.size != 0 {
			w.b = append(w.b, 0)
		}
		r.End = w.pos()
	}
	w.records = append(w.records, r)
	return r
}

// data wraps a manager's own data as the body of a record.
func data(d []byte) []byte {
	if len(d) < 256 {
		return append([]byte{partDataShort, byte(len(d))}, d...)
	}
	return append(binary.LittleEndian.AppendUint32([]byte{partDataLong}, uint32(len(d))), d...)
}

func le64(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

func (w *builder) commit(xid uint32, t time.Time) Record {
	return w.record(managerXact, infoCommit, xid, data(le64(uint64(Stamp(t)))))
}

func (w *builder) restorePoint(name string, t time.Time) Record {
	d := append(le64(uint64(Stamp(t))), make([]byte, 64)...)
	copy(d[8:], name)
	return w.record(managerXLOG, infoRestorePoint, 0, data(d))
}

func (w *builder) heap(n int) Record { return w.record(10, 0, 7, make([]byte, n)) }
