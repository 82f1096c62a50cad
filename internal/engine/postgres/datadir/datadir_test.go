package datadir

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func TestCombineIsTheChecksumOfBoth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		a, b := noise(r, r.IntN(5000)), noise(r, r.IntN(70000))
		want := CRC32C(append(bytes.Clone(a), b...))
		if got := CombineCRC32C(CRC32C(a), CRC32C(b), int64(len(b))); got != want {
			t.Fatalf("%d and %d bytes: %08x, want %08x", len(a), len(b), got, want)
		}
		zeros := make([]byte, r.IntN(100000))
		if got, want := CRCOfZeros(CRC32C(a), int64(len(zeros))), CRC32C(append(bytes.Clone(a), zeros...)); got != want {
			t.Fatalf("%d zeros: %08x, want %08x", len(zeros), got, want)
		}
	}
}

func TestSumTakesPiecesInAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	data := noise(r, 1<<20+777)
	const step = 100_000
	var s Sum
	order := r.Perm((len(data) + step - 1) / step)
	for _, i := range append(order, order[0]) { // one is read twice
		p := data[i*step : min((i+1)*step, len(data))]
		s.Add(int64(i*step), int64(len(p)), CRC32C(p))
	}
	if got, err := s.CRC32C(int64(len(data))); err != nil || got != CRC32C(data) {
		t.Errorf("%08x, %v; want %08x", got, err, CRC32C(data))
	}
	if _, err := s.CRC32C(int64(len(data)) + 1); err == nil {
		t.Error("a missing byte is not an error")
	}
	s.pieces = s.pieces[1:]
	if _, err := s.CRC32C(int64(len(data))); err == nil {
		t.Error("a missing piece is not an error")
	}
}

// The plainest reading of checksum_impl.h.
func plainChecksum(page []byte, block uint32) uint16 {
	p := bytes.Clone(page)
	p[8], p[9] = 0, 0
	sums := laneSeeds
	for i := 0; i < len(p); i += 4 {
		k := i / 4 % lanes
		sums[k] = mix(sums[k], binary.LittleEndian.Uint32(p[i:]))
	}
	var sum uint32
	for k := range sums {
		sum ^= mix(mix(sums[k], 0), 0)
	}
	return uint16((sum^block)%65535 + 1)
}

func TestPageChecksumIsTheServers(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, size := range []int{1024, 8192, 32768} {
		for range 50 {
			p, n := noise(r, size), r.Uint32()
			if got, want := PageChecksum(p, n), plainChecksum(p, n); got != want {
				t.Fatalf("%d bytes, block %d: %d, want %d", size, n, got, want)
			}
		}
	}
}

func TestCheckPage(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	page := make([]byte, 8192)
	if got := CheckPage(page, 3); got != PageNew {
		t.Errorf("zeros are %v", got)
	}
	page[100] = 1
	if got := CheckPage(page, 3); got != PageBad {
		t.Errorf("a page without header that is not zero is %v", got)
	}
	copy(page, noise(r, len(page)))
	binary.LittleEndian.PutUint16(page[checksumAt:], PageChecksum(page, 3))
	if got := CheckPage(page, 3); got != PageGood {
		t.Errorf("a good page is %v", got)
	}
	if got := CheckPage(page, 4); got != PageBad {
		t.Errorf("a good page at another place is %v", got)
	}
	for range 500 {
		bit := r.IntN(len(page) * 8)
		if at := bit / 8; at == upperAt || at == upperAt+1 {
			continue
		}
		page[bit/8] ^= 1 << (bit % 8)
		if got := CheckPage(page, 3); got != PageBad {
			t.Fatalf("a page with bit %d flipped is %v", bit, got)
		}
		page[bit/8] ^= 1 << (bit % 8)
	}
}

func BenchmarkPageChecksum(b *testing.B) {
	p := noise(rand.New(rand.NewPCG(9, 9)), 1<<20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		for at := 0; at < len(p); at += 8192 {
			sink = PageChecksum(p[at:at+8192], uint32(at))
		}
	}
}

func BenchmarkCRC32C(b *testing.B) {
	p := noise(rand.New(rand.NewPCG(9, 9)), 1<<20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		sink32 = crc32.Checksum(p, castagnoli)
	}
}

var (
	sink   uint16
	sink32 uint32
)

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}
