package datadir

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/backstaydb/backstay/internal/directio"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
)

const pageSize = 8192

// relation makes pages as a server writes them; the LSN of each is lsn.
func relation(r *rand.Rand, pages int, first uint32, lsn wal.LSN) []byte {
	b := noise(r, pages*pageSize)
	for i := range pages {
		seal(b[i*pageSize:(i+1)*pageSize], first+uint32(i), lsn)
	}
	return b
}

func seal(page []byte, block uint32, lsn wal.LSN) {
	binary.LittleEndian.PutUint32(page, uint32(lsn>>32))
	binary.LittleEndian.PutUint32(page[4:], uint32(lsn))
	binary.LittleEndian.PutUint16(page[upperAt:], 4000)
	binary.LittleEndian.PutUint16(page[checksumAt:], PageChecksum(page, block))
}

func testChecker(start wal.LSN) *Checker {
	return NewChecker(Control{DataChecksums: 1, BlockSize: pageSize, SegmentBlocks: 1000}, start)
}

// disk is a file whose reads go through see.
type disk struct {
	data []byte
	see  func(p []byte, off int64) // may change what was read
}

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(d.data).ReadAt(p, off)
	if d.see != nil {
		d.see(p[:n], off)
	}
	return n, err
}

func (*disk) Close() error { return nil }

func TestFilesAreSummedUpAsTheyAreRead(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	data := append(relation(r, 300, 3000, 5), make([]byte, 2*pageSize)...) // two new pages
	path := filepath.Join(t.TempDir(), "16384.3")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	c := testChecker(1)
	for _, step := range []int{1 << 20, 128 << 10, pageSize, 4096, 12288, 5000} {
		f, err := c.Open(Entry{Name: "base/5/16384.3", Path: path, Size: int64(len(data))})
		if err != nil {
			t.Fatal(err)
		}
		var offsets []int
		for off := 0; off < len(data); off += step {
			offsets = append(offsets, off)
		}
		r.Shuffle(len(offsets), func(i, j int) { offsets[i], offsets[j] = offsets[j], offsets[i] })
		got := make([]byte, len(data))
		for _, off := range offsets {
			p := directio.Block(step)
			n, err := f.ReadAt(p, int64(off))
			if n != min(step, len(data)-off) || (err != nil) != (n < step) {
				t.Fatalf("step %d: ReadAt(%d) = %d, %v", step, off, n, err)
			}
			copy(got[off:], p[:n])
		}
		if crc, err := f.CRC32C(); err != nil || crc != CRC32C(data) || !bytes.Equal(got, data) {
			t.Errorf("step %d: checksum %08x, %v; want %08x", step, crc, err, CRC32C(data))
		}
		f.Close()
	}
	in, err := c.Open(Entry{Name: "base/5/16384.3", Path: path, Size: int64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read in one go: %d bytes, %v", len(got), err)
	}
	if crc, err := in.CRC32C(); err != nil || crc != CRC32C(data) {
		t.Errorf("read in one go: %08x, %v", crc, err)
	}
	if pages, again, _ := c.Checked(); c.Damage.Pages() != 0 || pages < 7*302 || again != 0 {
		t.Errorf("%d pages were verified, %d read again, damage %q", pages, again, c.Damage.Lines())
	}
}

func TestAFileThatShrinksIsSummedUpWithZeros(t *testing.T) {
	data := relation(rand.New(rand.NewPCG(2, 2)), 10, 0, 5)
	c := testChecker(1)
	f := c.newFile("base/5/16384", int64(len(data)+3*pageSize), &disk{data: data[:len(data)-100]})
	p := make([]byte, 16*pageSize)
	n, err := f.ReadAt(p, 0)
	if n != len(data)-100 || err != io.EOF {
		t.Fatalf("ReadAt = %d, %v", n, err)
	}
	want := append(bytes.Clone(data[:len(data)-100]), make([]byte, 3*pageSize+100)...)
	if crc, err := f.CRC32C(); err != nil || crc != CRC32C(want) {
		t.Errorf("%08x, %v; want %08x", crc, err, CRC32C(want))
	}
	if got := c.Damage.Lines(); got != nil {
		t.Errorf("a page that is being cut off is called damage: %q", got)
	}
}

// tear gives the second half of one page as it was before the write, for the first looks.
func tear(page int, looks int64) func(p []byte, off int64) {
	var seen atomic.Int64
	return func(p []byte, off int64) {
		at := int64(page)*pageSize - off
		if at >= 0 && at+pageSize <= int64(len(p)) && seen.Add(1) <= looks {
			clear(p[at+pageSize/2 : at+pageSize])
		}
	}
}

func TestTornPagesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := relation(rand.New(rand.NewPCG(3, 3)), 10, 2000, 5)
		c := testChecker(1)
		f := c.newFile("base/5/16384.2", int64(len(data)), &disk{data: data, see: tear(4, 2)})
		p := make([]byte, len(data))
		if _, err := f.ReadAt(p, 0); err != nil || !bytes.Equal(p, data) {
			t.Fatalf("the torn page was kept: %v", err)
		}
		if crc, err := f.CRC32C(); err != nil || crc != CRC32C(data) {
			t.Errorf("%08x, %v", crc, err)
		}
		if _, again, torn := c.Checked(); again != 1 || torn != 0 || c.Damage.Pages() != 0 {
			t.Errorf("%d read again, %d torn, damage %q", again, torn, c.Damage.Lines())
		}
	})
}

func TestWhatStaysWrongIsDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, lsn := range []wal.LSN{5, 500} { // an LSN beyond the start is no excuse for a page that stays as it is
			data := relation(rand.New(rand.NewPCG(4, 4)), 10, 2000, lsn)
			data[4*pageSize+100] ^= 1
			data[5*pageSize+100] ^= 1
			data[9*pageSize+100] ^= 1
			c := testChecker(100)
			f := c.newFile("base/5/16384.2", int64(len(data)), &disk{data: data})
			p := make([]byte, len(data))
			if _, err := f.ReadAt(p, 0); err != nil || !bytes.Equal(p, data) {
				t.Fatalf("what is damaged was not given as it is: %v", err)
			}
			want := []string{"base/5/16384.2: wrong page checksum in block 2004-2005, 2009"}
			if got := c.Damage.Lines(); !slices.Equal(got, want) || c.Damage.Pages() != 3 {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func TestAPageThatIsAlwaysBeingWrittenIsTheLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for lsn, damaged := range map[wal.LSN]int64{500: 0, 5: 1} {
			data := relation(rand.New(rand.NewPCG(5, 5)), 1, 0, lsn)
			looks := byte(0)
			c := testChecker(100)
			f := c.newFile("base/5/16384", int64(len(data)), &disk{data: data, see: func(p []byte, _ int64) {
				looks++
				p[100] = looks
			}})
			if _, err := f.ReadAt(make([]byte, len(data)), 0); err != nil {
				t.Fatal(err)
			}
			if _, _, torn := c.Checked(); torn != 1-damaged || c.Damage.Pages() != damaged {
				t.Errorf("LSN %s: %d torn, %d damaged", lsn, torn, c.Damage.Pages())
			}
		}
	})
}

func TestStreamsAreVerified(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, step := range []int{1 << 20, 3 * pageSize, pageSize - 1, 100} {
		data := append(relation(r, 20, 1000, 5), 1, 2, 3)
		data[3*pageSize+50] ^= 1
		torn := data[7*pageSize : 8*pageSize]
		seal(torn, 1007, 500)
		torn[8000] ^= 1
		c := testChecker(100)
		s := c.NewStream("base/5/16384.1", int64(len(data)), bytes.NewReader(data))
		var got []byte
		p := make([]byte, step)
		for {
			n, err := s.Read(p)
			got = append(got, p[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, data) {
			t.Fatalf("step %d: %d bytes, want %d", step, len(got), len(data))
		}
		pages, _, left := c.Checked()
		want := []string{"base/5/16384.1: wrong page checksum in block 1003"}
		if lines := c.Damage.Lines(); !slices.Equal(lines, want) || pages != 20 || left != 1 {
			t.Errorf("step %d: damage %q, %d pages, %d torn", step, lines, pages, left)
		}
	}
}

func BenchmarkReadAndVerify(b *testing.B) {
	data := relation(rand.New(rand.NewPCG(7, 7)), 128<<20/pageSize, 0, 5)
	path := filepath.Join(b.TempDir(), "16384")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.Fatal(err)
	}
	p := directio.Block(1 << 20)
	for _, c := range []*Checker{{}, NewChecker(Control{DataChecksums: 1, BlockSize: pageSize, SegmentBlocks: 131072}, 1)} {
		name := "plain"
		if c.PageSize > 0 {
			name = "checksums"
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				f, err := c.Open(Entry{Name: "base/5/16384", Path: path, Size: int64(len(data))})
				if err != nil {
					b.Fatal(err)
				}
				for off := int64(0); off < f.Size(); off += int64(len(p)) {
					if _, err := f.ReadAt(p, off); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := f.CRC32C(); err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		})
	}
}
