package sqlite

import (
	"encoding/binary"
	"math/bits"
	"sync"

	"github.com/superfly/ltx"
)

// pageSum equals ltx.ChecksumPage without its allocations and without the flag in the topmost bit. The checksum of a database
// is the exclusive or of the checksums of its pages, so that a changed page is taken out and put in again without reading the
// others.
func pageSum(page uint32, data []byte) uint64 { return sumPage(page, data).masked() }

// rawSum is the checksum of a page with all its bits.
type rawSum uint64

func sumPage(page uint32, data []byte) rawSum {
	return rawSum(updateCRC(numberSum(page), data))
}

func (s rawSum) masked() uint64 { return uint64(s) &^ uint64(ltx.ChecksumFlag) }

// numberSum is the checksum of what a page's checksum begins with.
func numberSum(page uint32) uint64 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], page)
	return updateCRC(0, b[:])
}

// after gives the checksum that crc becomes by the size bytes of the page, without reading them: checksums of the same bytes
// that began differently differ by what that difference becomes over as many zero bytes.
func (s rawSum) after(crc uint64, page uint32, size int) uint64 {
	return uint64(s) ^ overZeros(size).apply(crc^numberSum(page))
}

// shift is what a number of zero bytes does to a checksum: a linear map, given by what each bit becomes.
type shift [64]uint64

func (m *shift) apply(v uint64) (out uint64) {
	for ; v != 0; v &= v - 1 {
		out ^= m[bits.TrailingZeros64(v)]
	}
	return out
}

var shifts sync.Map // of *shift, by the number of bytes

// overZeros gives the map of size zero bytes; size is a power of two.
func overZeros(size int) *shift {
	if m, ok := shifts.Load(size); ok {
		return m.(*shift)
	}
	m := new(shift)
	for i := range m {
		bit := uint64(1) << i
		m[i] = crcTable[byte(bit)] ^ bit>>8
	}
	for n := 1; n < size; n *= 2 {
		twice := new(shift)
		for i := range twice {
			twice[i] = m.apply(m[i])
		}
		m = twice
	}
	shifts.Store(size, m)
	return m
}

// checksum makes LTX's spelling of the exclusive or of page sums.
func checksum(sum uint64) ltx.Checksum { return ltx.ChecksumFlag | ltx.Checksum(sum) }

// sumOf undoes checksum.
func sumOf(c ltx.Checksum) uint64 { return uint64(c &^ ltx.ChecksumFlag) }
