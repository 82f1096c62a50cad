package sqlite

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/pierrec/lz4/v4"
)

// unpacked packs page and reads it back with the library.
func unpacked(t *testing.T, p *packer, page []byte) int {
	t.Helper()
	packed := make([]byte, lz4.CompressBlockBound(len(page)))
	packed = packed[:p.pack(packed, page)]
	back := make([]byte, len(page))
	if n, err := lz4.UncompressBlock(packed, back); err != nil || !bytes.Equal(back[:n], page) {
		t.Fatalf("a page of %d bytes, packed into %d, comes back as %d other bytes: %v", len(page), len(packed), n, err)
	}
	return len(packed)
}

func TestPack(t *testing.T) {
	t.Parallel()
	p := new(packer)
	for _, size := range []int{512, 4096, 65536} {
		page := make([]byte, size)
		if n := unpacked(t, p, page); n > size/200+20 {
			t.Errorf("%d zeros take %d bytes", size, n)
		}
		for range 200 {
			// Runs of random bytes, of earlier bytes and of one byte.
			for at := 0; at < size; {
				run := page[at:min(size, at+1+rand.IntN(300))]
				switch rand.IntN(3) {
				case 0:
					for i := range run {
						run[i] = byte(rand.Uint32())
					}
				case 1:
					copy(run, page[rand.IntN(at+1):])
				default:
					b := byte(rand.Uint32())
					for i := range run {
						run[i] = b
					}
				}
				at += len(run)
			}
			ours := unpacked(t, p, page)
			theirs, err := new(lz4.Compressor).CompressBlock(page, make([]byte, lz4.CompressBlockBound(size)))
			if err != nil || ours > theirs+theirs/4+20 {
				t.Errorf("a page of %d bytes takes %d, with the library %d, %v", size, ours, theirs, err)
			}
		}
		for i := range page {
			page[i] = byte(rand.Uint32())
		}
		unpacked(t, p, page)
	}
}

func FuzzPack(f *testing.F) {
	f.Add([]byte("to be or not to be, that is the question: to be or not to be"))
	f.Add(make([]byte, 600))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, page []byte) {
		if len(page) <= 1<<16 {
			unpacked(t, new(packer), page)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	page := make([]byte, 4096)
	for i := range page {
		page[i] = "0123456789ABCDEF"[rand.IntN(16)]
		if i%120 < 20 {
			page[i] = byte(i % 120)
		}
	}
	out := make([]byte, lz4.CompressBlockBound(4096))
	b.Run("ours", func(b *testing.B) {
		p := new(packer)
		b.SetBytes(4096)
		for b.Loop() {
			p.pack(out, page)
		}
	})
	b.Run("library", func(b *testing.B) {
		var c lz4.Compressor
		b.SetBytes(4096)
		for b.Loop() {
			if _, err := c.CompressBlock(page, out); err != nil {
				b.Fatal(err)
			}
		}
	})
}
