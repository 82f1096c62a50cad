package sqlite

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pierrec/lz4/v4"
	"github.com/superfly/ltx"
)

var errNotLTX = errors.New("not a whole LTX file")

// ltxReader reads an LTX file in order. Unlike ltx.Decoder it takes no more memory than a page needs, whatever the bytes say,
// and can be used again for the next file.
type ltxReader struct {
	r      *bufio.Reader
	header ltx.Header
	post   ltx.Checksum // known after the last page
	crc    uint64
	offset int64
	last   uint32
	index  []byte // as it should be
	packed []byte
	block  []byte // the page that next returned, as it is packed in the file
	data   []byte
}

func newLTXReader() *ltxReader { return &ltxReader{r: bufio.NewReaderSize(nil, 64<<10)} }

// open reads the header of the next file.
func (d *ltxReader) open(r io.Reader) error {
	d.r.Reset(r)
	d.crc, d.offset, d.last, d.index, d.post = 0, 0, 0, d.index[:0], 0
	var b [ltx.HeaderSize]byte
	if err := d.read(b[:]); err != nil {
		return err
	}
	if err := parseLTXHeader(&d.header, b[:]); err != nil {
		return err
	}
	if len(d.data) != int(d.header.PageSize) {
		d.data = make([]byte, d.header.PageSize)
		d.packed = make([]byte, lz4.CompressBlockBound(int(d.header.PageSize)))
	}
	return nil
}

func parseLTXHeader(h *ltx.Header, b []byte) error {
	err := h.UnmarshalBinary(b)
	if err == nil {
		err = h.Validate()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNotLTX, err)
	}
	if h.NoChecksum() {
		return fmt.Errorf("%w: its checksums are switched off", errNotLTX)
	}
	return nil
}

// read reads b and counts it in the checksum.
func (d *ltxReader) read(b []byte) error {
	if _, err := io.ReadFull(d.r, b); err != nil {
		return d.short(err)
	}
	d.crc = updateCRC(d.crc, b)
	d.offset += int64(len(b))
	return nil
}

func (d *ltxReader) short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends early", errNotLTX)
	}
	return err
}

// next returns the next page, which is valid until the next call, as block is. After the last one it checks the rest of the file and
// returns io.EOF.
func (d *ltxReader) next() (uint32, []byte, error) {
	var h [ltx.PageHeaderSize + 4]byte
	at := d.offset
	if err := d.read(h[:ltx.PageHeaderSize]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(h[:])
	if n == 0 {
		if err := d.end(); err != nil {
			return 0, nil, err
		}
		return 0, nil, io.EOF
	}
	if err := d.read(h[ltx.PageHeaderSize:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(h[ltx.PageHeaderSize:])
	if n <= d.last || n > d.header.Commit || binary.BigEndian.Uint16(h[4:]) != ltx.PageHeaderFlagSize || size > uint32(len(d.packed)) {
		return 0, nil, fmt.Errorf("%w: page %d after page %d", errNotLTX, n, d.last)
	}
	d.block = d.packed[:size]
	if _, err := io.ReadFull(d.r, d.block); err != nil {
		return 0, nil, d.short(err)
	}
	d.offset += int64(size)
	if m, err := lz4.UncompressBlock(d.block, d.data); err != nil || m != len(d.data) {
		return 0, nil, fmt.Errorf("%w: page %d cannot be decompressed", errNotLTX, n)
	}
	d.crc = updateCRC(d.crc, d.data)
	d.last = n
	d.index = binary.AppendUvarint(d.index, uint64(n))
	d.index = binary.AppendUvarint(d.index, uint64(at))
	d.index = binary.AppendUvarint(d.index, uint64(d.offset-at))
	return n, d.data, nil
}

// end checks index and trailer.
func (d *ltxReader) end() error {
	want := binary.BigEndian.AppendUint64(append(d.index, 0), uint64(len(d.index)+1))
	for len(want) > 0 {
		b := d.data[:min(len(want), len(d.data))]
		if err := d.read(b); err != nil {
			return err
		}
		if string(b) != string(want[:len(b)]) {
			return fmt.Errorf("%w: its index does not name its pages", errNotLTX)
		}
		want = want[len(b):]
	}
	var b [8]byte
	if err := d.read(b[:]); err != nil {
		return err
	}
	d.post = ltx.Checksum(binary.BigEndian.Uint64(b[:]))
	crc := ltx.ChecksumFlag | ltx.Checksum(d.crc)
	if _, err := io.ReadFull(d.r, b[:]); err != nil {
		return d.short(err)
	}
	if ltx.Checksum(binary.BigEndian.Uint64(b[:])) != crc || d.post&ltx.ChecksumFlag == 0 {
		return fmt.Errorf("%w: its checksum is wrong", errNotLTX)
	}
	if _, err := d.r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows it", errNotLTX)
	}
	return nil
}
