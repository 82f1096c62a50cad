package sqlite

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/pierrec/lz4/v4"
	"github.com/superfly/ltx"
)

// ltxWriter writes an LTX file. It differs from ltx.Encoder only in what it costs: that one takes 140 KB of new memory for
// each file, and we write a file for each commit. ltx.Decoder reads what it writes, in the tests.
type ltxWriter struct {
	w      io.Writer
	header ltx.Header
	crc    uint64
	size   int64
	last   uint32 // page
	index  []byte
	room   *room
}

// room is what writing a file needs and the next one can use again.
type room struct {
	packer packer
	block  []byte
	index  []byte
}

var rooms = sync.Pool{New: func() any { return new(room) }}

func newLTXWriter(w io.Writer, h ltx.Header) (*ltxWriter, error) {
	if err := h.Validate(); err != nil {
		return nil, err
	}
	b, err := h.MarshalBinary()
	if err != nil {
		return nil, err
	}
	e := &ltxWriter{w: w, header: h}
	e.room, _ = rooms.Get().(*room)
	if size := ltx.PageHeaderSize + 4 + lz4.CompressBlockBound(int(h.PageSize)); len(e.room.block) < size {
		e.room.block = make([]byte, size)
	}
	e.index = e.room.index[:0]
	return e, e.write(b)
}

// write writes b and counts it in the checksum.
func (e *ltxWriter) write(b []byte) error {
	e.crc = updateCRC(e.crc, b)
	e.size += int64(len(b))
	_, err := e.w.Write(b)
	return err
}

// page writes the next page. Pages come in ascending order.
func (e *ltxWriter) page(n uint32, data []byte) error {
	return e.put(n, data, func(crc uint64) uint64 { return updateCRC(crc, data) })
}

// summed is page for a page whose sum is known: its bytes are not summed up again for the checksum of the file.
func (e *ltxWriter) summed(n uint32, data []byte, sum rawSum) error {
	return e.put(n, data, func(crc uint64) uint64 { return sum.after(crc, n, len(data)) })
}

// packed is page for a page that is packed already: block is what packs data.
func (e *ltxWriter) packed(n uint32, block, data []byte) error {
	if err := e.allows(n, len(data)); err != nil {
		return err
	}
	const head = ltx.PageHeaderSize + 4
	if len(block) > len(e.room.block)-head {
		return fmt.Errorf("write page %d: it is packed into %d bytes", n, len(block))
	}
	return e.add(n, copy(e.room.block[head:], block), func(crc uint64) uint64 { return updateCRC(crc, data) })
}

// put packs a page and writes it; after gives the checksum behind data, of what it is before data.
func (e *ltxWriter) put(n uint32, data []byte, after func(crc uint64) uint64) error {
	if err := e.allows(n, len(data)); err != nil {
		return err
	}
	return e.add(n, e.room.packer.pack(e.room.block[ltx.PageHeaderSize+4:], data), after)
}

// allows says whether a page of that size may come next.
func (e *ltxWriter) allows(n uint32, size int) error {
	if n <= e.last || n > e.header.Commit || n == lockPage(e.header.PageSize) || size != int(e.header.PageSize) {
		return fmt.Errorf("write page %d of %d after page %d: not allowed", n, e.header.Commit, e.last)
	}
	return nil
}

// add writes the page whose packed bytes stand in room.block, behind the place for their header.
func (e *ltxWriter) add(n uint32, packed int, after func(crc uint64) uint64) error {
	const head = ltx.PageHeaderSize + 4
	block := e.room.block
	binary.BigEndian.PutUint32(block, n)
	binary.BigEndian.PutUint16(block[4:], ltx.PageHeaderFlagSize)
	binary.BigEndian.PutUint32(block[ltx.PageHeaderSize:], uint32(packed))
	e.crc = after(updateCRC(e.crc, block[:head]))
	e.index = binary.AppendUvarint(e.index, uint64(n))
	e.index = binary.AppendUvarint(e.index, uint64(e.size))
	e.index = binary.AppendUvarint(e.index, uint64(head+packed))
	e.last = n
	e.size += int64(head + packed)
	_, err := e.w.Write(block[:head+packed])
	return err
}

// close writes what follows the pages; post is the checksum of the database after the file was applied.
func (e *ltxWriter) close(post ltx.Checksum) error {
	defer rooms.Put(e.room)
	e.room.index = e.index
	end := append(make([]byte, ltx.PageHeaderSize, ltx.PageHeaderSize+len(e.index)+17), e.index...)
	end = append(end, 0)
	end = binary.BigEndian.AppendUint64(end, uint64(len(e.index)+1))
	end = binary.BigEndian.AppendUint64(end, uint64(post))
	if err := e.write(end); err != nil {
		return err
	}
	_, err := e.w.Write(binary.BigEndian.AppendUint64(nil, uint64(ltx.ChecksumFlag)|e.crc))
	return err
}
