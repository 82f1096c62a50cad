package sqlite

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/superfly/ltx"

	"github.com/backstaydb/backstay/internal/engine"
)

// readSparse gives the pages of a file that are wanted.
func readSparse(data []byte, wanted func(uint32) bool) (map[uint32][]byte, *sparse, error) {
	s, err := openSparse(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, nil, err
	}
	got := map[uint32][]byte{}
	err = s.pages(wanted, func(n uint32, page []byte) error {
		got[n] = bytes.Clone(page)
		return nil
	})
	return got, s, err
}

func TestSparseReadsWhatIsWanted(t *testing.T) {
	t.Parallel()
	for _, size := range []uint32{512, 4096, 65536} {
		numbers := []uint32{1, 2, 3, 9, 10, 40, 41, 100}
		pages := somePages(size, numbers...)
		data := ltxFile(t, size, 100, pages)
		for mask := range 1 << len(numbers) {
			want := map[uint32][]byte{}
			for i, n := range numbers {
				if mask&(1<<i) != 0 {
					want[n] = pages[n]
				}
			}
			got, s, err := readSparse(data, func(n uint32) bool { return want[n] != nil })
			if err != nil {
				t.Fatal(err)
			}
			if !maps.EqualFunc(got, want, bytes.Equal) || s.post != checksum(6) || s.header.Commit != 100 {
				t.Fatalf("page size %d: read %v, want %v", size, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
		}
	}
}

// TestSparseReadsRunsAtOnce: pages that follow each other take one reading, and those that are not wanted none.
func TestSparseReadsRunsAtOnce(t *testing.T) {
	t.Parallel()
	var numbers []uint32
	for n := uint32(1); n <= 600; n++ {
		numbers = append(numbers, n)
	}
	data := ltxFile(t, 4096, 600, somePages(4096, numbers...))
	r := &countedReaderAt{r: bytes.NewReader(data)}
	s, err := openSparse(r, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	r.reads, r.bytes = 0, 0
	err = s.pages(func(n uint32) bool { return n > 300 && n <= 400 || n == 7 }, func(uint32, []byte) error { return nil })
	if err != nil || r.reads != 2 || r.bytes > len(data)/4 {
		t.Errorf("%d readings of %d bytes, of %d: %v", r.reads, r.bytes, len(data), err)
	}
}

type countedReaderAt struct {
	r            io.ReaderAt
	reads, bytes int
}

func (c *countedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	c.bytes += len(p)
	return c.r.ReadAt(p, off)
}

// TestSparseDamage: whatever bytes are changed, there is an error or pages of the right size, and no panic.
func TestSparseDamage(t *testing.T) {
	t.Parallel()
	data := ltxFile(t, 512, 9, somePages(512, 1, 2, 5, 9))
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= byte(1 + rand.UintN(255))
		sparseIsSane(t, bad)
	}
	for n := range data {
		sparseIsSane(t, data[:n])
		if _, _, err := readSparse(data[:n], func(uint32) bool { return true }); err == nil {
			t.Fatalf("%d bytes of %d were read without an error", n, len(data))
		}
	}
}

func sparseIsSane(t *testing.T, data []byte) {
	t.Helper()
	got, s, err := readSparse(data, func(uint32) bool { return true })
	if err != nil && !errors.Is(err, errNotLTX) {
		t.Fatalf("%v does not say that it is no LTX file", err)
	}
	for n, page := range got {
		if n == 0 || n > s.header.Commit || len(page) != int(s.header.PageSize) {
			t.Fatalf("page %d of %d with %d bytes", n, s.header.Commit, len(page))
		}
	}
}

func FuzzSparse(f *testing.F) {
	f.Add(ltxFile(f, 512, 9, somePages(512, 1, 2, 5, 9)))
	f.Add(ltxFile(f, 4096, 3, nil))
	f.Add(make([]byte, ltx.HeaderSize+ltx.PageHeaderSize+sparseTail))
	f.Fuzz(func(t *testing.T, data []byte) { sparseIsSane(t, data) })
}

// piecesLog is a log any piece of whose files can be read.
type piecesLog struct {
	*cutLog
	pieces int // that were read
}

func (l *piecesLog) Open(_ context.Context, i int) (engine.LogSegment, error) {
	return &piecesSegment{l.segments[i], l}, nil
}

type piecesSegment struct {
	*cutSegment
	pieces *piecesLog
}

func (s *piecesSegment) Read(_ context.Context, e engine.LogEntry) (io.ReadCloser, error) {
	data := s.log.files[e.File][e.Offset : e.Offset+e.Size]
	return &pieces{bytes.NewReader(data), s.pieces}, nil
}

type pieces struct {
	*bytes.Reader
	log *piecesLog
}

func (p *pieces) ReadAt(b []byte, off int64) (int, error) {
	p.log.pieces++
	return p.Reader.ReadAt(b, off)
}

func (p *pieces) Close() error { return nil }

// TestReplayReadsPieces: condensed files whose pieces can be read give the same database, and damage in what is read of them
// is noticed.
func TestReplayReadsPieces(t *testing.T) {
	t.Parallel()
	whole := func(n int) cut { return cut{n, 0, 3} }
	cut := newCutLog(t, 6, 30)
	cut.add(0, 3, whole(1), whole(2), whole(3)).condense(t, 1, 3)
	cut.add(3, 6, whole(4), whole(5), whole(6)).condense(t, 4, 6)
	l := &piecesLog{cutLog: cut}
	for to := uint64(1); to <= 6; to++ {
		l.pieces = 0
		l.proves(t, to, l, engine.Goal{Position: cutAt(to)})
		if (l.pieces > 0) != (to >= 3) {
			t.Errorf("to %d: %d pieces were read", to, l.pieces)
		}
	}
	condensed := l.files[l.segments[0].entries[0].File]
	noticed := 0
	for i := 0; i < len(condensed); i += 97 {
		condensed[i] ^= 0x55
		if _, err := (Engine{}).Replay(t.Context(), l.lay(t), l, engine.Goal{}); err != nil {
			noticed++
		}
		condensed[i] ^= 0x55
	}
	if noticed == 0 {
		t.Error("no damage was noticed")
	}
}
