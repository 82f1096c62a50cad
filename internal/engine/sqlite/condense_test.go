package sqlite

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/superfly/ltx"

	"github.com/backstaydb/backstay/internal/engine"
)

// TestCondenseHoldsPackedPages: what counts against the limit is what pages take when they are packed.
func TestCondenseHoldsPackedPages(t *testing.T) {
	t.Parallel()
	const pages = 3 * condenseLimit / 2 / 4096
	page := make([]byte, 4096)
	var files []engine.CondenseFile
	for n := byte(2); n <= 3; n++ {
		var b bytes.Buffer
		w, err := newLTXWriter(&b, ltx.Header{Version: ltx.Version, PageSize: 4096, Commit: pages, MinTXID: ltx.TXID(n), MaxTXID: ltx.TXID(n), PreApplyChecksum: checksum(uint64(n))})
		if err != nil {
			t.Fatal(err)
		}
		for p := uint32(1); p <= pages; p++ {
			page[p%4096] = n
			if err := w.page(p, page); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.close(checksum(uint64(n + 1))); err != nil {
			t.Fatal(err)
		}
		files = append(files, engine.CondenseFile{Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }})
	}
	var condensed bytes.Buffer
	name, err := Engine{}.Condense(t.Context(), files, &condensed)
	if err != nil || name != fileName(2, 3) {
		t.Fatalf("condensed to %q: %v", name, err)
	}
	if second := lastPages(t, files[1]); !bytes.Equal(lastPages(t, engine.CondenseFile{Open: func() (io.ReadCloser, error) {
		return io.NopCloser(&condensed), nil
	}}), second) || len(second) == 0 {
		t.Error("the pages are not those of the second file")
	}
}

// lastPages is every thousandth page of a file, which must be whole.
func lastPages(t *testing.T, f engine.CondenseFile) (all []byte) {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := newLTXReader()
	if err := d.open(r); err != nil {
		t.Fatal(err)
	}
	for {
		n, page, err := d.next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if n%1000 == 0 {
			all = append(all, page...)
		}
	}
}

// TestCondenseGivesUp: files that share hardly any pages, and one alone, are left as they are.
func TestCondenseGivesUp(t *testing.T) {
	t.Parallel()
	for name, files := range map[string][]map[uint32][]byte{
		"little to gain": {somePages(512, 1, 2, 3), somePages(512, 4, 5, 6)},
		"one file":       {somePages(512, 1, 2, 3)},
	} {
		var all []engine.CondenseFile
		for i, pages := range files {
			data := ltxFile(t, 512, 6, pages)
			if i > 0 {
				data = ltxNext(t, pages)
			}
			all = append(all, engine.CondenseFile{Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
		}
		var b bytes.Buffer
		if got, err := (Engine{}).Condense(t.Context(), all, &b); err != nil || got != "" {
			t.Errorf("%s: condensed to %q: %v", name, got, err)
		}
	}
}

// ltxNext is a file that follows the one of ltxFile.
func ltxNext(t *testing.T, pages map[uint32][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := newLTXWriter(&b, ltx.Header{Version: ltx.Version, PageSize: 512, Commit: 6, MinTXID: 8, MaxTXID: 8, PreApplyChecksum: checksum(6)})
	if err != nil {
		t.Fatal(err)
	}
	for n := uint32(1); n <= 6; n++ {
		if data, ok := pages[n]; ok {
			if err := w.page(n, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.close(checksum(7)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
