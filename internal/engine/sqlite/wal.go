package sqlite

import (
	"encoding/binary"
	"errors"
)

const (
	walHeaderSize   = 32
	frameHeaderSize = 24
)

var errNotWAL = errors.New("not a valid WAL header")

// salt tells one generation of a WAL from the next: eight bytes that change whenever the WAL begins again.
type salt uint64

// walHeader is the 32 bytes at the beginning of a -wal file (https://www.sqlite.org/fileformat2.html#wal_file_format).
type walHeader struct {
	bigEndian bool // of the checksums
	pageSize  uint32
	salt      salt
	sum       walSum
}

func parseWALHeader(b []byte) (walHeader, error) {
	if len(b) < walHeaderSize {
		return walHeader{}, errNotWAL
	}
	magic := binary.BigEndian.Uint32(b)
	h := walHeader{
		bigEndian: magic&1 == 1,
		pageSize:  binary.BigEndian.Uint32(b[8:]),
		salt:      salt(binary.BigEndian.Uint64(b[16:])),
		sum:       walSum{binary.BigEndian.Uint32(b[24:]), binary.BigEndian.Uint32(b[28:])},
	}
	if magic&^1 != 0x377f0682 || binary.BigEndian.Uint32(b[4:]) != 3007000 || !validPageSize(h.pageSize) {
		return walHeader{}, errNotWAL
	}
	if (walSum{}).add(h.bigEndian, b[:24]) != h.sum {
		return walHeader{}, errNotWAL
	}
	return h, nil
}

// frameHeader is the 24 bytes before each page in a WAL.
type frameHeader struct {
	page   uint32
	commit uint32 // size of the database in pages after a commit; 0 in frames that end none
	salt   salt
	sum    walSum
}

func parseFrameHeader(b []byte) frameHeader {
	return frameHeader{
		page:   binary.BigEndian.Uint32(b),
		commit: binary.BigEndian.Uint32(b[4:]),
		salt:   salt(binary.BigEndian.Uint64(b[8:])),
		sum:    walSum{binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])},
	}
}

// next checks the frame in b (header and page) against the sum of all before it and returns the sum with it.
func (h walHeader) next(sum walSum, b []byte) (frameHeader, walSum, bool) {
	f := parseFrameHeader(b)
	if f.salt != h.salt || f.page == 0 {
		return f, sum, false
	}
	got := sum.add(h.bigEndian, b[:8]).add(h.bigEndian, b[frameHeaderSize:])
	return f, got, got == f.sum
}

// frameOffset is where frame n (the first is 1) begins.
func frameOffset(n, pageSize uint32) int64 {
	return walHeaderSize + int64(n-1)*int64(frameHeaderSize+pageSize)
}

// walSum is the running checksum of a WAL.
type walSum [2]uint32

// add continues the sum over b, whose length is a multiple of 8.
func (s walSum) add(bigEndian bool, b []byte) walSum {
	s0, s1 := s[0], s[1]
	if bigEndian {
		for ; len(b) >= 8; b = b[8:] {
			s0 += binary.BigEndian.Uint32(b) + s1
			s1 += binary.BigEndian.Uint32(b[4:]) + s0
		}
		return walSum{s0, s1}
	}
	for ; len(b) >= 8; b = b[8:] {
		s0 += binary.LittleEndian.Uint32(b) + s1
		s1 += binary.LittleEndian.Uint32(b[4:]) + s0
	}
	return walSum{s0, s1}
}
