package datadir

import (
	"errors"
	"hash/crc32"
	"slices"
	"sync"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC32C is the checksum that the server uses for pg_control, the log and manifests.
func CRC32C(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// CombineCRC32C is the CRC-32C of a followed by b, of which only the checksums and the length of b, in bytes, are known.
//
// A CRC is the remainder of a polynomial over GF(2). Appending n bytes multiplies what was there by x to the 8n;
// those powers come from squaring.
func CombineCRC32C(a, b uint32, lengthB int64) uint32 {
	return multiply(a, power(lengthB)) ^ b
}

// one is the polynomial 1 where the highest bit is the coefficient of x to the 0.
const one = 1 << 31

// squares[k] is x to the 8·2^k.
var squares = sync.OnceValue(func() (s [63]uint32) {
	s[0] = one >> 8
	for k := 1; k < len(s); k++ {
		s[k] = multiply(s[k-1], s[k-1])
	}
	return s
})

// power is x to the 8n.
func power(n int64) uint32 {
	p, table := uint32(one), squares()
	for k := 0; n > 0; k, n = k+1, n>>1 {
		if n&1 == 1 {
			p = multiply(p, table[k])
		}
	}
	return p
}

// multiply is a times b modulo the polynomial of CRC-32C.
func multiply(a, b uint32) (p uint32) {
	for bit := uint32(one); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			p ^= b
		}
		if b&1 == 1 {
			b = b>>1 ^ crc32.Castagnoli
		} else {
			b >>= 1
		}
	}
	return p
}

// Sum collects the CRC-32C of a file that is read in pieces, in any order and from several goroutines. The zero value
// is ready for use.
type Sum struct {
	mu     sync.Mutex
	pieces []piece
}

type piece struct {
	offset, length int64
	crc            uint32
}

// Add notes the checksum of length bytes at offset. A piece that is read again replaces the one before.
func (s *Sum) Add(offset, length int64, crc uint32) {
	if length == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.pieces) - 1; i >= 0; i-- {
		if s.pieces[i].offset == offset {
			s.pieces[i] = piece{offset, length, crc}
			return
		}
	}
	s.pieces = append(s.pieces, piece{offset, length, crc})
}

// errPieces is why there is no checksum.
var errPieces = errors.New("sum up file: the pieces that were read do not make up the whole")

// CRC32C is the checksum of the first size bytes. It is an error if the pieces do not join.
func (s *Sum) CRC32C(size int64) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.pieces, func(a, b piece) int {
		if a.offset < b.offset {
			return -1
		}
		return 1
	})
	var crc uint32
	var end, last int64
	var shift uint32
	for _, p := range s.pieces {
		if p.offset != end {
			return 0, errPieces
		}
		if p.length != last {
			last, shift = p.length, power(p.length)
		}
		crc = multiply(crc, shift) ^ p.crc
		end += p.length
	}
	if end != size {
		return 0, errPieces
	}
	return crc, nil
}

// CRCOfZeros is the CRC-32C of length zero bytes that follow data with the checksum crc.
func CRCOfZeros(crc uint32, length int64) uint32 {
	// The inversion at both ends makes zeros count.
	return ^multiply(^crc, power(length))
}
