package sqlite

import (
	"encoding/binary"
	"hash/crc64"
)

// crcTable is LTX's: CRC-64-ISO, the remainder by x⁶⁴+x⁴+x³+x+1. Bits stand in reverse order, so that a shift to the right
// multiplies by x, and what falls out at the right has the powers from x⁶⁴ on.
var crcTable = crc64.MakeTable(crc64.ISO)

// updateCRC equals crc64.Update(crc, crcTable, p), several times as fast and without reading tables: as the polynomial has so few
// terms, x⁶⁴ is x⁴+x³+x+1 and, squaring being linear here, x²⁵⁶ is x¹⁶+x¹²+x⁴+1. Four words at a time are carried over the next
// four, independently of each other.
func updateCRC(crc uint64, p []byte) uint64 {
	crc = ^crc
	if len(p) >= 32 {
		a := crc ^ binary.LittleEndian.Uint64(p)
		b := binary.LittleEndian.Uint64(p[8:])
		c := binary.LittleEndian.Uint64(p[16:])
		d := binary.LittleEndian.Uint64(p[24:])
		for p = p[32:]; len(p) >= 32; p = p[32:] {
			q := p[:32:32] // one check of bounds instead of four
			a = over256(a) ^ binary.LittleEndian.Uint64(q)
			b = over256(b) ^ binary.LittleEndian.Uint64(q[8:])
			c = over256(c) ^ binary.LittleEndian.Uint64(q[16:])
			d = over256(d) ^ binary.LittleEndian.Uint64(q[24:])
		}
		crc = over64(over64(over64(over64(a)^b)^c) ^ d)
	}
	for ; len(p) >= 8; p = p[8:] {
		crc = over64(crc ^ binary.LittleEndian.Uint64(p))
	}
	return crc64.Update(^crc, crcTable, p)
}

// over64 multiplies by x⁶⁴.
func over64(v uint64) uint64 {
	return v ^ v>>1 ^ v>>3 ^ v>>4 ^ reduced(v<<63^v<<61^v<<60)
}

// over256 multiplies by x²⁵⁶.
func over256(v uint64) uint64 {
	return v ^ v>>4 ^ v>>12 ^ v>>16 ^ reduced(v<<60^v<<52^v<<48)
}

// reduced gives the remainder of what fell out at the right; nothing falls out of it a second time.
func reduced(out uint64) uint64 { return out ^ out>>1 ^ out>>3 ^ out>>4 }
