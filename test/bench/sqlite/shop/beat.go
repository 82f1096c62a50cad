package shop

import (
	"bytes"
	"encoding/binary"
)

// magic stands before the counter, so that it is found in a page without reading the page's structure.
var magic = []byte("the shop's beat:")

// mark is what the beat table holds after n commits.
func mark(n uint64) []byte { return binary.BigEndian.AppendUint64(bytes.Clone(magic), n) }

// FindBeat looks for the counter in the bytes of a page. SQLite may leave an older copy in the free space of a page;
// since the counter only rises, the highest is the one that counts.
func FindBeat(page []byte) (n uint64, ok bool) {
	for {
		i := bytes.Index(page, magic)
		if i < 0 || len(page) < i+len(magic)+8 {
			return n, ok
		}
		page = page[i+len(magic):]
		n, ok = max(n, binary.BigEndian.Uint64(page)), true
	}
}
