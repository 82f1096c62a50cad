package sqlite

import (
	"hash/crc64"
	"math/rand/v2"
	"testing"
)

// TestUpdateCRC compares with the standard library, at every length and alignment that takes another path.
func TestUpdateCRC(t *testing.T) {
	t.Parallel()
	data := make([]byte, 70000)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	lengths := []int{4096, 65536}
	for n := range 200 {
		lengths = append(lengths, n)
	}
	for _, n := range lengths {
		for from := range 9 {
			p, begin := data[from:from+n], rand.Uint64()
			if got, want := updateCRC(begin, p), crc64.Update(begin, crcTable, p); got != want {
				t.Fatalf("%d bytes from %d on: %016x, want %016x", n, from, got, want)
			}
		}
	}
}

func FuzzUpdateCRC(f *testing.F) {
	f.Add(uint64(0), []byte("a page"))
	f.Add(^uint64(0), make([]byte, 100))
	f.Fuzz(func(t *testing.T, begin uint64, p []byte) {
		if got, want := updateCRC(begin, p), crc64.Update(begin, crcTable, p); got != want {
			t.Fatalf("%016x, want %016x", got, want)
		}
	})
}

func BenchmarkPageSum(b *testing.B) {
	page := make([]byte, 4096)
	b.SetBytes(4096)
	for b.Loop() {
		pageSum(7, page)
	}
}
