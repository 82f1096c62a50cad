package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pierrec/lz4/v4"
	"github.com/superfly/ltx"
)

// sparse reads only some pages of an LTX file, by the index at its end. The checksum of the file, which covers all of it, is
// not compared; that of the whole database, after the replay, is.
type sparse struct {
	r      io.ReaderAt
	header ltx.Header
	post   ltx.Checksum
	index  []byte
	end    int64 // of the pages
	run    []pageRef
	blocks []byte
	data   []byte
}

// pageRef says where the block of a page lies.
type pageRef struct {
	page uint32
	at   int64
	size int
}

const (
	sparseTail = 24       // bytes behind the index: its size, the checksum of the database, that of the file
	sparseRun  = 1 << 20  // bytes that are read at once, about
	maxSparse  = 64 << 20 // of the index of a file that is read so
	blockHead  = ltx.PageHeaderSize + 4
)

// openSparse reads header and index of a file of size bytes.
func openSparse(r io.ReaderAt, size int64) (*sparse, error) {
	s := &sparse{r: r}
	var head [ltx.HeaderSize]byte
	var tail [sparseTail]byte
	if size < int64(len(head)+ltx.PageHeaderSize+len(tail)) {
		return nil, fmt.Errorf("%w: it has %d bytes", errNotLTX, size)
	}
	if err := s.read(head[:], 0); err != nil {
		return nil, err
	}
	if err := parseLTXHeader(&s.header, head[:]); err != nil {
		return nil, err
	}
	if err := s.read(tail[:], size-sparseTail); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint64(tail[:])
	s.end = size - sparseTail - int64(min(n, maxSparse)) - ltx.PageHeaderSize
	s.post = ltx.Checksum(binary.BigEndian.Uint64(tail[8:]))
	if n > maxSparse || s.end < ltx.HeaderSize || s.post&ltx.ChecksumFlag == 0 {
		return nil, fmt.Errorf("%w: its index has %d bytes", errNotLTX, n)
	}
	s.index = make([]byte, n)
	s.data = make([]byte, s.header.PageSize)
	return s, s.read(s.index, s.end+ltx.PageHeaderSize)
}

// read reads b at off.
func (s *sparse) read(b []byte, off int64) error {
	if n, err := s.r.ReadAt(b, off); n < len(b) {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: it ends early", errNotLTX)
		}
		return err
	}
	return nil
}

// pages gives those pages of the file that are wanted, in order. A page is valid until take returns.
func (s *sparse) pages(wanted func(page uint32) bool, take func(page uint32, data []byte) error) error {
	last := pageRef{at: ltx.HeaderSize}
	index, limit := s.index, blockHead+lz4.CompressBlockBound(int(s.header.PageSize))
	for {
		ref, rest, err := nextRef(index)
		if err != nil {
			return err
		}
		if ref.page == 0 {
			if end := last.at + int64(last.size); end != s.end || len(rest) > 0 {
				return fmt.Errorf("%w: its pages end at %d, and its index begins behind %d", errNotLTX, end, s.end)
			}
			break
		}
		if ref.page <= last.page || ref.page > s.header.Commit || ref.at != last.at+int64(last.size) || ref.size < blockHead || ref.size > limit || ref.at+int64(ref.size) > s.end {
			return fmt.Errorf("%w: its index has page %d at %d after page %d", errNotLTX, ref.page, ref.at, last.page)
		}
		index, last = rest, ref
		if !wanted(ref.page) {
			continue
		}
		if err := s.add(ref, take); err != nil {
			return err
		}
	}
	return s.flush(take)
}

// nextRef reads one entry of an index; page zero is its end.
func nextRef(index []byte) (ref pageRef, rest []byte, err error) {
	var n [3]uint64
	for i := range n {
		var k int
		if n[i], k = binary.Uvarint(index); k <= 0 || n[i] > 1<<40 || i == 0 && n[i] > 1<<32-1 {
			return ref, nil, fmt.Errorf("%w: its index cannot be read", errNotLTX)
		}
		if index = index[k:]; n[0] == 0 {
			break
		}
	}
	return pageRef{page: uint32(n[0]), at: int64(n[1]), size: int(n[2])}, index, nil
}

// add puts a page to those that are read at once, if it follows them.
func (s *sparse) add(ref pageRef, take func(uint32, []byte) error) error {
	if n := len(s.run); n > 0 {
		first, before := s.run[0], s.run[n-1]
		if ref.at != before.at+int64(before.size) || ref.at-first.at >= sparseRun {
			if err := s.flush(take); err != nil {
				return err
			}
		}
	}
	s.run = append(s.run, ref)
	return nil
}

// flush reads the pages that were put together.
func (s *sparse) flush(take func(uint32, []byte) error) error {
	if len(s.run) == 0 {
		return nil
	}
	first, last := s.run[0], s.run[len(s.run)-1]
	size := int(last.at-first.at) + last.size
	if cap(s.blocks) < size {
		s.blocks = make([]byte, size)
	}
	blocks := s.blocks[:size]
	if err := s.read(blocks, first.at); err != nil {
		return err
	}
	for _, ref := range s.run {
		block := blocks[:ref.size]
		blocks = blocks[ref.size:]
		if err := s.unpack(ref, block); err != nil {
			return err
		}
		if err := take(ref.page, s.data); err != nil {
			return err
		}
	}
	s.run = s.run[:0]
	return nil
}

// unpack unpacks a block into data.
func (s *sparse) unpack(ref pageRef, block []byte) error {
	page, flags, packed := binary.BigEndian.Uint32(block), binary.BigEndian.Uint16(block[4:]), binary.BigEndian.Uint32(block[ltx.PageHeaderSize:])
	if page != ref.page || flags != ltx.PageHeaderFlagSize || int64(packed) != int64(ref.size-blockHead) {
		return fmt.Errorf("%w: what its index says is page %d is none", errNotLTX, ref.page)
	}
	if n, err := lz4.UncompressBlock(block[blockHead:], s.data); err != nil || n != len(s.data) {
		return fmt.Errorf("%w: page %d cannot be decompressed", errNotLTX, page)
	}
	return nil
}

// applySparse is applyFile for a file of size bytes of which any piece can be read.
func (p *replay) applySparse(db *os.File, f logFile, r io.ReaderAt, size int64) error {
	s, err := openSparse(r, size)
	if err != nil {
		return err
	}
	if err := p.begin(f, s.header); err != nil {
		return err
	}
	wanted := func(page uint32) bool { return page <= p.pages && !p.written.has(page) }
	if err := s.pages(wanted, func(page uint32, data []byte) error { return p.write(db, page, data) }); err != nil {
		return err
	}
	return p.link(s.header.PreApplyChecksum, s.post)
}
