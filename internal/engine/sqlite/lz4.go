package sqlite

import (
	"encoding/binary"
	"math/bits"
)

// packer writes LZ4 blocks (https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md) of single pages. It differs from the
// library's compressor, which reads what it writes, only in its table: 8 KiB that stay in the processor's nearest cache, instead
// of 136 KiB, as a page is small.
type packer struct {
	table [1 << packerBits]uint16 // by a hash of the bytes there, where in the page they stand
}

const (
	packerBits  = 12
	minMatch    = 4
	lastLiteral = 5  // so many bytes at the end are literals
	lastMatch   = 12 // and no match begins so close to the end
)

// pack writes src, 65,536 bytes at most, into dst, which must have room for lz4.CompressBlockBound(len(src)) bytes, and
// returns how many it took.
func (p *packer) pack(dst, src []byte) int {
	clear(p.table[:])
	n, anchor := 0, 0
	for at, misses := 1, 0; at <= len(src)-lastMatch; {
		bytes := binary.LittleEndian.Uint64(src[at:])
		slot := &p.table[bytes<<24*889523592379>>(64-packerBits)]
		from := int(*slot)
		*slot = uint16(at)
		if from >= at || binary.LittleEndian.Uint32(src[from:]) != uint32(bytes) {
			misses++
			at += 1 + misses>>5 // what does not repeat is passed over faster and faster
			continue
		}
		for at > anchor && from > 0 && src[at-1] == src[from-1] {
			at, from = at-1, from-1
		}
		length := minMatch + common(src[from+minMatch:], src[at+minMatch:len(src)-lastLiteral])
		n += sequence(dst[n:], src[anchor:at], at-from, length)
		at += length
		anchor, misses = at, 0
		if at <= len(src)-lastMatch {
			before := binary.LittleEndian.Uint64(src[at-2:])
			p.table[before<<24*889523592379>>(64-packerBits)] = uint16(at - 2)
		}
	}
	return n + literals(dst[n:], src[anchor:], 0)
}

// common counts the bytes that a and b, which is the shorter one, begin with alike.
func common(a, b []byte) int {
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		if diff := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); diff != 0 {
			return n + bits.TrailingZeros64(diff)/8
		}
	}
	for n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// sequence writes literals and the match that follows them.
func sequence(dst, plain []byte, offset, length int) int {
	length -= minMatch
	n := literals(dst, plain, min(length, 15))
	binary.LittleEndian.PutUint16(dst[n:], uint16(offset))
	n += 2
	if length >= 15 {
		n += extension(dst[n:], length-15)
	}
	return n
}

// literals writes a token with match in its low half, and the literals.
func literals(dst, plain []byte, match int) int {
	dst[0] = byte(min(len(plain), 15)<<4 | match)
	n := 1
	if len(plain) >= 15 {
		n += extension(dst[1:], len(plain)-15)
	}
	return n + copy(dst[n:], plain)
}

// extension writes the rest of a length that a token has no room for.
func extension(dst []byte, rest int) int {
	n := 0
	for ; rest >= 255; rest -= 255 {
		dst[n] = 255
		n++
	}
	dst[n] = byte(rest)
	return n + 1
}
