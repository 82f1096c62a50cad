package sqlite

import (
	"encoding/binary"
	"errors"
)

// dbHeader is what we need of the 100 bytes at the beginning of a database file
// (https://www.sqlite.org/fileformat2.html#the_database_header). The zero value is an empty database.
type dbHeader struct {
	pageSize uint32
	wal      bool
	change   uint32 // file change counter
	pages    uint32 // size in pages as the header says; not valid if an old SQLite wrote last
}

var errNotDatabase = errors.New("this is not a SQLite database, or it is encrypted")

func parseHeader(b []byte) (dbHeader, error) {
	if len(b) == 0 {
		return dbHeader{}, nil
	}
	if len(b) < 100 || string(b[:16]) != "SQLite format 3\x00" {
		return dbHeader{}, errNotDatabase
	}
	size := uint32(binary.BigEndian.Uint16(b[16:]))
	if size == 1 {
		size = 65536
	}
	if !validPageSize(size) {
		return dbHeader{}, errNotDatabase
	}
	return dbHeader{
		pageSize: size,
		wal:      b[19] == 2,
		change:   binary.BigEndian.Uint32(b[24:]),
		pages:    binary.BigEndian.Uint32(b[28:]),
	}, nil
}

func validPageSize(n uint32) bool { return n >= 512 && n <= 65536 && n&(n-1) == 0 }

// lockPage is the page over SQLite's lock bytes at 1 GiB. It never holds data and stands in no LTX file.
func lockPage(pageSize uint32) uint32 { return 0x40000000/pageSize + 1 }
