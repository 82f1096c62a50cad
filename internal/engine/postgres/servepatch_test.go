package postgres

import (
	"bytes"
	"testing"
)

func FuzzSpaceOf(f *testing.F) {
	record := append([]byte{partShort, 10, 1, 64, 0, 0}, "/srv/a\x00"...)
	f.Add(record)
	f.Add(append([]byte{partOrigin, 1, 0}, record...))
	f.Add(append([]byte{partTopXID, 1, 0, 0, 0, partLong, 11, 0, 0, 0}, record[2:]...))
	f.Add([]byte{partLong})
	f.Add([]byte{partShort, 1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		body, ok := spaceOf(b)
		if ok && (len(body) < 6 || body[len(body)-1] != 0 || !bytes.HasSuffix(b, body)) {
			t.Errorf("%x gives %x", b, body)
		}
	})
}

func TestSpaceOfFindsNumberAndPath(t *testing.T) {
	body, ok := spaceOf(append([]byte{partOrigin, 1, 0, partShort, 11, 1, 64, 0, 0}, "/srv/a\x00"...))
	if !ok || string(body) != "\x01\x40\x00\x00/srv/a\x00" {
		t.Errorf("%q, %v", body, ok)
	}
	if _, ok := spaceOf([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8}); ok {
		t.Error("a record with a block was taken")
	}
}
