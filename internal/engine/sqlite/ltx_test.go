package sqlite

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/superfly/ltx"
)

func ltxFile(t testing.TB, pageSize, commit uint32, pages map[uint32][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := newLTXWriter(&b, ltx.Header{Version: ltx.Version, PageSize: pageSize, Commit: commit, MinTXID: 7, MaxTXID: 7, PreApplyChecksum: checksum(5)})
	if err != nil {
		t.Fatal(err)
	}
	for n := uint32(1); n <= commit; n++ {
		if data, ok := pages[n]; ok {
			if err := w.page(n, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.close(checksum(6)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func somePages(pageSize uint32, numbers ...uint32) map[uint32][]byte {
	pages := map[uint32][]byte{}
	for _, n := range numbers {
		b := make([]byte, pageSize)
		for i := range b[:len(b)/int(1+n%3)] {
			b[i] = byte(rand.UintN(256))
		}
		pages[n] = b
	}
	return pages
}

// TestLTXAgreesWithLibrary: the library reads what we write, and we read what it writes.
func TestLTXAgreesWithLibrary(t *testing.T) {
	t.Parallel()
	for _, size := range []uint32{512, 4096, 65536} {
		pages := somePages(size, 1, 2, 3, 9, 100)
		ours := ltxFile(t, size, 100, pages)
		dec := ltx.NewDecoder(bytes.NewReader(ours))
		if err := dec.Verify(); err != nil {
			t.Fatalf("page size %d: %v", size, err)
		}
		if len(dec.PageIndex()) != len(pages) || dec.Trailer().PostApplyChecksum != checksum(6) {
			t.Errorf("the library reads %d pages, trailer %+v", len(dec.PageIndex()), dec.Trailer())
		}
		for n, e := range dec.PageIndex() {
			_, data, err := ltx.DecodePageData(ours[e.Offset : e.Offset+e.Size])
			if err != nil || !bytes.Equal(data, pages[n]) {
				t.Errorf("page %d by the index: %v", n, err)
			}
		}

		var b bytes.Buffer
		enc, err := ltx.NewEncoder(&b)
		if err != nil {
			t.Fatal(err)
		}
		if err := enc.EncodeHeader(dec.Header()); err != nil {
			t.Fatal(err)
		}
		for _, n := range []uint32{1, 2, 3, 9, 100} {
			if err := enc.EncodePage(ltx.PageHeader{Pgno: n}, pages[n]); err != nil {
				t.Fatal(err)
			}
		}
		enc.SetPostApplyChecksum(checksum(6))
		if err := enc.Close(); err != nil {
			t.Fatal(err)
		}
		if b.Len() < len(ours)*9/10 {
			t.Errorf("page size %d: our file takes %d bytes, the library's %d", size, len(ours), b.Len())
		}
		if got := readLTX(t, b.Bytes()); len(got) != len(pages) || !bytes.Equal(got[9], pages[9]) {
			t.Errorf("we read %d pages", len(got))
		}
	}
}

// TestLTXWithKnownSums: a page whose sum is known makes the same file.
func TestLTXWithKnownSums(t *testing.T) {
	t.Parallel()
	for _, size := range []uint32{512, 1024, 4096, 65536} {
		pages := somePages(size, 1, 2, 3, 9, 100)
		var b bytes.Buffer
		w, err := newLTXWriter(&b, ltx.Header{Version: ltx.Version, PageSize: size, Commit: 100, MinTXID: 7, MaxTXID: 7, PreApplyChecksum: checksum(5)})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []uint32{1, 2, 3, 9, 100} {
			sum := sumPage(n, pages[n])
			if got, want := checksum(sum.masked()), ltx.ChecksumPage(n, pages[n]); got != want {
				t.Errorf("page size %d: sum %s, want %s", size, got, want)
			}
			if err := w.summed(n, pages[n], sum); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.close(checksum(6)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), ltxFile(t, size, 100, pages)) {
			t.Errorf("page size %d: other bytes", size)
		}
	}
}

func readLTX(t testing.TB, b []byte) map[uint32][]byte {
	t.Helper()
	d := newLTXReader()
	if err := d.open(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	pages := map[uint32][]byte{}
	for {
		n, data, err := d.next()
		if errors.Is(err, io.EOF) {
			return pages
		}
		if err != nil {
			t.Fatal(err)
		}
		pages[n] = bytes.Clone(data)
	}
}

// TestLTXDamage: no single flipped bit and no cut goes unnoticed, unless the pages are the same all the same, as some bits of
// compressed data allow.
func TestLTXDamage(t *testing.T) {
	t.Parallel()
	pages := somePages(512, 1, 4, 9)
	good := ltxFile(t, 512, 9, pages)
	whole := func(b []byte) error {
		d := newLTXReader()
		if err := d.open(bytes.NewReader(b)); err != nil {
			return err
		}
		same := true
		for {
			n, data, err := d.next()
			if errors.Is(err, io.EOF) && !same {
				return nil
			}
			if err != nil {
				return err
			}
			same = same && bytes.Equal(data, pages[n])
		}
	}
	if err := whole(good); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if whole(bad) == nil {
			t.Errorf("a flipped bit at %d was not noticed", i)
		}
		if whole(good[:i]) == nil {
			t.Errorf("a cut at %d was not noticed", i)
		}
	}
}

func FuzzLTX(f *testing.F) {
	f.Add([]byte{})
	f.Add(ltxFile(f, 512, 9, somePages(512, 1, 4, 9)))
	f.Add(ltxFile(f, 4096, 1, somePages(4096, 1)))
	d := newLTXReader()
	f.Fuzz(func(t *testing.T, b []byte) {
		if d.open(bytes.NewReader(b)) != nil {
			return
		}
		for last := uint32(0); ; {
			n, page, err := d.next()
			if err != nil {
				return
			}
			if n <= last || n > d.header.Commit || len(page) != int(d.header.PageSize) {
				t.Fatalf("page %d after %d, %d bytes", n, last, len(page))
			}
			last = n
		}
	})
}

// TestLockPageIsLeftOut holds for every page size without a database of a gigabyte.
func TestLockPageIsLeftOut(t *testing.T) {
	t.Parallel()
	for size := uint32(512); size <= 65536; size *= 2 {
		lock := ltx.LockPgno(size)
		if lockPage(size) != lock {
			t.Errorf("page size %d: lock page %d, want %d", size, lockPage(size), lock)
		}
		tx := transaction{pageSize: size, before: lock - 2, commit: lock + 2, pages: []uint32{lock + 1, lock, 5, 5, lock + 9}}
		tx.normalize()
		if want := []uint32{5, lock - 1, lock + 1, lock + 2}; !slices.Equal(tx.pages, want) {
			t.Errorf("page size %d: pages %d, want %d", size, tx.pages, want)
		}
	}
}
