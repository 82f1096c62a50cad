package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/zstd"
)

// logFile is one entry that a test seals.
type logFile struct {
	engine.LogEntry
	data []byte
}

func logOf(sizes ...int) []logFile {
	var out []logFile
	for i, n := range sizes {
		out = append(out, logFile{engine.LogEntry{File: fmt.Sprintf("%016x-%016x.ltx", i, i), Size: int64(n)}, pages(int64(i), n)})
	}
	return out
}

func specOf(files []logFile, marks []history.Mark) SegmentSpec {
	return SegmentSpec{
		Segment: history.Segment{From: history.At(1, 1), To: history.At(1, 99), Until: time.Unix(1_760_000_000, 0)},
		Entries: func(yield func(SegmentEntry) bool) {
			for _, f := range files {
				e := SegmentEntry{File: f.File, Offset: f.Offset, Size: f.Size, Condensed: f.Condensed,
					Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(f.data)), nil }}
				if !yield(e) {
					return
				}
			}
		},
		Marks: slices.Values(marks),
	}
}

func marksOf(n int) []history.Mark {
	out := []history.Mark{{Position: history.Position{Timeline: 2, Seq: 1 << 60, Mark: "10/16B3748"}, Time: time.Unix(0, 1_800_000_000_000_000_123).UTC(), XID: 7, Name: "before the upgrade"}}
	for i := range n {
		out = append(out, history.Mark{Position: history.At(3, uint64(i+1)), Time: time.Unix(1_800_000_000, int64(i)*2_000_000).UTC()})
	}
	return append(out, history.Mark{Position: history.At(3, uint64(n+2))})
}

func source(name string, b []byte) Source {
	return Source{Name: name, Size: int64(len(b)), Open: func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		if n < 0 {
			n = int64(len(b))
		}
		return io.NopCloser(io.NewSectionReader(bytes.NewReader(b), off, n)), nil
	}}
}

func sealSegment(t testing.TB, id *age.X25519Identity, spec SegmentSpec) (Sealed, []byte) {
	t.Helper()
	var buf bytes.Buffer
	s, err := SealSegment(t.Context(), &buf, SegmentSealer{Recipients: []age.Recipient{id.Recipient()}}, spec)
	if err != nil {
		t.Fatal(err)
	}
	return s, buf.Bytes()
}

func segmentCases() map[string][]logFile {
	part := logOf(5000)
	part[0].Offset = 1 << 20
	condensed := append([]logFile{{engine.LogEntry{File: "all.ltx", Size: 3<<20 + 5, Condensed: true}, pages(77, 3<<20+5)}}, logOf(10, 2<<20, 4096)...)
	var tiny []int
	for i := range 20_000 {
		tiny = append(tiny, i%300)
	}
	long := logOf(10)
	long[0].File = "folder/" + string(bytes.Repeat([]byte("x"), 200)) + "/ü"
	return map[string][]logFile{
		"nothing": nil, "one tiny": logOf(60), "a part": part, "empty file": logOf(0, 1, 0), "condensed": condensed,
		"several blocks": logOf(logFrameBytes, 1, 5<<20+3, 511, 512, 513), "many": logOf(tiny...), "long name": long,
	}
}

func TestSegmentComesBack(t *testing.T) {
	id := testKey(t)
	marks := marksOf(1000)
	for name, files := range segmentCases() {
		t.Run(name, func(t *testing.T) {
			s, b := sealSegment(t, id, specOf(files, marks))
			sum := sha256.Sum256(b)
			if s.Size != int64(len(b)) || s.SHA256 != hex.EncodeToString(sum[:]) || s.Segment.StoredBytes != s.Size {
				t.Errorf("sealed says %+v of %d bytes", s, len(b))
			}
			r, err := OpenSegment(t.Context(), source("seg", b), s.Index, []age.Identity{id})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var want []engine.LogEntry
			var bytesOfLog int64
			for _, f := range files {
				want = append(want, f.LogEntry)
				if !f.Condensed {
					bytesOfLog += f.Size
				}
			}
			if !slices.Equal(r.Entries(), want) || s.Segment.Bytes != bytesOfLog {
				t.Fatalf("%d entries of %d, %d bytes of %d", len(r.Entries()), len(want), s.Segment.Bytes, bytesOfLog)
			}
			for i, e := range r.Entries() {
				compareEntry(t, r, e, files[i].data)
			}
			rnd := rand.New(rand.NewSource(1))
			for range min(50, len(files)) {
				i := rnd.Intn(len(files))
				compareEntry(t, r, files[i].LogEntry, files[i].data)
				compareAt(t, r, files[i], rnd)
			}
			if diff := cmp.Diff(marks, collect(t, r.Marks(t.Context()))); diff != "" {
				t.Errorf("marks: %s", diff)
			}
			if _, err := r.Read(t.Context(), engine.LogEntry{File: "nowhere"}); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("read of nowhere: %v", err)
			}
		})
	}
}

func compareEntry(t *testing.T, r *SegmentReader, e engine.LogEntry, want []byte) {
	t.Helper()
	in, err := r.Read(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s: %d bytes of %d, %v", e.File, len(got), len(want), err)
	}
}

func compareAt(t *testing.T, r *SegmentReader, f logFile, rnd *rand.Rand) {
	t.Helper()
	in, err := r.Open(t.Context(), f.LogEntry)
	if err != nil {
		t.Fatal(err)
	}
	off := rnd.Int63n(f.Size + 1)
	p := make([]byte, rnd.Intn(100_000))
	n, err := in.ReadAt(p, off)
	want := f.data[off:min(f.Size, off+int64(len(p)))]
	if !bytes.Equal(p[:n], want) || (n < len(p)) != errors.Is(err, io.EOF) {
		t.Fatalf("%s: ReadAt(%d, %d) = %d, %v", f.File, len(p), off, n, err)
	}
}

func collect(t *testing.T, marks iter.Seq2[history.Mark, error]) (out []history.Mark) {
	t.Helper()
	for m, err := range marks {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// TestSegmentIsATar reads a segment as docs/format says, without any code of this package.
func TestSegmentIsATar(t *testing.T) {
	id := testKey(t)
	for name, files := range segmentCases() {
		_, b := sealSegment(t, id, specOf(files, marksOf(3)))
		plain, err := age.Decrypt(bytes.NewReader(b), id)
		if err != nil {
			t.Fatal(err)
		}
		text, err := zstd.NewReader(plain)
		if err != nil {
			t.Fatal(err)
		}
		in := tar.NewReader(text)
		var names []string
		for {
			h, err := in.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := io.ReadAll(in)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if i := len(names); i < len(files) && !bytes.Equal(got, files[i].data) {
				t.Errorf("%s: %s has %d bytes, want %d", name, h.Name, len(got), len(files[i].data))
			}
			names = append(names, h.Name)
		}
		text.Close()
		var want []string
		for _, f := range files {
			e := SegmentEntry{File: f.File, Offset: f.Offset, Condensed: f.Condensed}
			want = append(want, e.tarName())
		}
		if want = append(want, "marks", "index"); !slices.Equal(names, want) {
			t.Errorf("%s: the tar has %d names, want %d", name, len(names), len(want))
		}
	}
}

// TestPoolsServeAnyBubble seals in two bubbles, whose channels must not meet.
func TestPoolsServeAnyBubble(t *testing.T) {
	id := testKey(t)
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			spec := specOf(logOf(3*blockBytes, 2*blockBytes), nil)
			sealed, object := sealSegment(t, id, spec)
			r, err := OpenSegment(t.Context(), source("s", object), sealed.Index, []age.Identity{id})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for _, e := range r.Entries() {
				body, err := r.Read(t.Context(), e)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, body); n != e.Size || err != nil {
					t.Errorf("%s: %d bytes of %d: %v", e.File, n, e.Size, err)
				}
			}
		})
	}
}

func TestSealSegmentRefuses(t *testing.T) {
	id := testKey(t)
	broken := errors.New("input/output error")
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(make([]byte, 10))), nil }
	for name, c := range map[string]struct {
		entries []SegmentEntry
		want    error
	}{
		"escaping":  {[]SegmentEntry{{File: "../x", Open: open}}, fs.ErrInvalid},
		"negative":  {[]SegmentEntry{{File: "x", Size: -1, Open: open}}, fs.ErrInvalid},
		"short":     {[]SegmentEntry{{File: "x", Size: 11, Open: open}}, io.ErrUnexpectedEOF},
		"unopened":  {[]SegmentEntry{{File: "x", Size: 1, Open: func() (io.ReadCloser, error) { return nil, broken }}}, broken},
		"condensed": {[]SegmentEntry{{File: "x", Size: 1, Open: open}, {File: "y", Size: 1, Condensed: true, Open: open}}, nil},
	} {
		_, err := SealSegment(t.Context(), io.Discard, SegmentSealer{Recipients: []age.Recipient{id.Recipient()}}, SegmentSpec{Entries: slices.Values(c.entries)})
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestDamagedSegmentIsRefused(t *testing.T) {
	id := testKey(t)
	files := logOf(3<<20, 100, 200_000)
	s, b := sealSegment(t, id, specOf(files, marksOf(100)))
	_, other := sealSegment(t, id, specOf(logOf(2<<20, 77), nil))
	for what, bad := range map[string][]byte{"flipped head": flip(b, 40), "flipped middle": flip(b, len(b)/2), "flipped end": flip(b, len(b)-1),
		"short": b[:len(b)-1], "half": b[:len(b)/2], "longer": append(bytes.Clone(b), 0), "swapped": other, "empty": nil} {
		if err := readAllOf(t, bad, s.Index, id); err == nil {
			t.Errorf("%s: it was read without an error", what)
		} else if bad, key := new(CorruptError), new(age.NoIdentityMatchError); !errors.As(err, &bad) && !errors.As(err, &key) {
			t.Errorf("%s: %v is neither damage nor another key", what, err)
		}
	}
}

func readAllOf(t *testing.T, b []byte, ref IndexRef, id *age.X25519Identity) error {
	r, err := OpenSegment(t.Context(), source("seg", b), ref, []age.Identity{id})
	if err != nil {
		return err
	}
	defer r.Close()
	for _, e := range r.Entries() {
		in, err := r.Read(t.Context(), e)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			return err
		}
	}
	for _, err := range r.Marks(t.Context()) {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestReadingOnNeedsFewRequests shows that a reader in order is served by read-ahead.
func TestReadingOnNeedsFewRequests(t *testing.T) {
	id := testKey(t)
	sizes := make([]int, 2000)
	for i := range sizes {
		sizes[i] = 20_000
	}
	s, b := sealSegment(t, id, specOf(logOf(sizes...), nil))
	var requests atomic.Int64
	src := source("seg", b)
	counted := src
	counted.Open = func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		requests.Add(1)
		return src.Open(ctx, off, n)
	}
	if err := func() error {
		r, err := OpenSegment(t.Context(), counted, s.Index, []age.Identity{id})
		if err != nil {
			return err
		}
		for _, e := range r.Entries() {
			in, err := r.Read(t.Context(), e)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, in); err != nil {
				return err
			}
		}
		return r.Close()
	}(); err != nil {
		t.Fatal(err)
	}
	if frames := int64(2000 * 20_992 / logFrameBytes); requests.Load() > frames/3 {
		t.Errorf("%d requests for %d frames", requests.Load(), frames)
	}
}

// TestManyTinyLogFilesAreCheap seals what three minutes of 500 commits a second are, and holds the price of an entry down.
func TestManyTinyLogFilesAreCheap(t *testing.T) {
	if testing.Short() {
		t.Skip("it seals 100,000 log files")
	}
	id := testKey(t)
	const n = 100_000
	data := pages(1, 250)
	entries := func(yield func(SegmentEntry) bool) {
		for i := range n {
			if !yield(SegmentEntry{File: fmt.Sprintf("%016x-%016x.ltx", i, i), Size: int64(len(data)),
				Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}) {
				return
			}
		}
	}
	var count countWriter
	s, err := SealSegment(t.Context(), &count, SegmentSealer{Recipients: []age.Recipient{id.Recipient()}},
		SegmentSpec{Entries: entries, Marks: slices.Values(marksOf(n))})
	if err != nil {
		t.Fatal(err)
	}
	if perEntry := s.Index.Length / n; perEntry > 12 {
		t.Errorf("the index has %d stored bytes an entry", perEntry)
	}
	if perEntry := int64(count) / n; perEntry > 60 {
		t.Errorf("an entry of equal content costs %d stored bytes", perEntry)
	}
	t.Logf("%d entries: %d stored bytes, index %d", n, count, s.Index.Length)
}

type countWriter int64

func (c *countWriter) Write(p []byte) (int, error) {
	*c += countWriter(len(p))
	return len(p), nil
}

func BenchmarkSealTip(b *testing.B) {
	id := testKey(b)
	files := logOf(500, 500, 4200)
	marks := marksOf(3)
	for b.Loop() {
		sealSegment(b, id, specOf(files, marks))
	}
}
