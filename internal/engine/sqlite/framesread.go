package sqlite

import (
	"fmt"
	"io"
)

// framesRead are consecutive frames of a WAL in memory.
type framesRead struct {
	first uint32
	data  []byte
}

const framesBlock = 256 << 10

// walk visits the frames first..last of a WAL.
func walk(wal io.ReaderAt, h walHeader, chain walSum, first, last uint32, visit func(uint32, frameHeader, walSum) error) (walSum, error) {
	return new(framesRead).walk(wal, h, chain, first, last, visit)
}

// walk visits the frames first..last, checks each, and returns the running checksum at the end. During a visit r holds the frame
// that is visited and those around it.
func (r *framesRead) walk(wal io.ReaderAt, h walHeader, chain walSum, first, last uint32, visit func(uint32, frameHeader, walSum) error) (walSum, error) {
	size := int(frameHeaderSize + h.pageSize)
	block := make([]byte, max(1, min(framesBlock/size, int(last-first+1)))*size)
	for next := first; next <= last; {
		n := min(len(block)/size, int(last-next+1))
		r.data = nil
		if _, err := wal.ReadAt(block[:n*size], frameOffset(next, h.pageSize)); err != nil {
			return chain, fmt.Errorf("read WAL frame %d: %w", next, err)
		}
		r.first, r.data = next, block[:n*size]
		for i := range n {
			f, sum, ok := h.next(chain, block[i*size:(i+1)*size])
			if !ok {
				return chain, fmt.Errorf("read WAL frame %d of %d: %w", next, last, errFrame)
			}
			chain = sum
			if err := visit(next, f, chain); err != nil {
				return chain, err
			}
			next++
		}
	}
	return chain, nil
}

// page returns the page of frame n if it is at hand, else nil.
func (r *framesRead) page(n uint32, size int) []byte {
	at := int(n-r.first) * (frameHeaderSize + size)
	if n < r.first || at+frameHeaderSize+size > len(r.data) {
		return nil
	}
	return r.data[at+frameHeaderSize:][:size]
}
