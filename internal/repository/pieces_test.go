package repository_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store"
	"github.com/backstaydb/backstay/internal/store/mem"
)

// metered counts the bytes that are read of log.
type metered struct {
	store.Store
	read *atomic.Int64
}

func (m metered) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := m.Store.Open(ctx, name, offset, length)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r, meter{m.read}), r}, nil
}

type meter struct{ n *atomic.Int64 }

func (m meter) Write(p []byte) (int, error) { m.n.Add(int64(len(p))); return len(p), nil }

// sealCondensed makes a segment of large log files and one small file that stands for them; first says what is in them.
func sealCondensed(t *testing.T, w *world, first uint64) (pack.Sealed, []byte) {
	t.Helper()
	var buf bytes.Buffer
	var entries []pack.SegmentEntry
	for seq, size := range []int{10_000, 4 << 20, 4 << 20} {
		data := logFile(first+uint64(seq), size)
		entries = append(entries, pack.SegmentEntry{File: string(rune('a' + seq)), Size: int64(size), Condensed: seq == 0,
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
	}
	sealed, err := pack.SealSegment(t.Context(), &buf, w.repo.Sealer(), pack.SegmentSpec{
		Segment: history.Segment{From: history.At(1, 0), To: history.At(1, 2), Since: at(0), Until: at(2), Commits: 2}, Entries: slices.Values(entries)})
	if err != nil {
		t.Fatal(err)
	}
	return sealed, buf.Bytes()
}

func readFirst(t *testing.T, r *repository.Repository, s history.Segment) error {
	t.Helper()
	seg, err := r.OpenSegment(t.Context(), s)
	if err != nil {
		return err
	}
	defer seg.Close()
	e := seg.Entries()[0]
	if want := (engine.LogEntry{File: "a", Size: 10_000, Condensed: true}); e != want {
		t.Errorf("entry %+v, want %+v", e, want)
	}
	in, err := seg.Read(t.Context(), e)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(in)
	if err == nil && !bytes.Equal(got, logFile(0, 10_000)) {
		t.Error("it is not what was sealed")
	}
	return errors.Join(err, in.Close())
}

// TestLargeSegmentsAreReadInPieces: of a segment with a file that stands for all others, not all is fetched; and what is
// fetched is what the ledger lists.
func TestLargeSegmentsAreReadInPieces(t *testing.T) {
	for name, s := range map[string]store.Store{"folder": mem.New(), "network": remote{mem.New()}} {
		t.Run(name, func(t *testing.T) {
			var read atomic.Int64
			w := newWorld(t, metered{s, &read})
			sealed, object := sealCondensed(t, w, 0)
			if _, err := w.repo.AppendSegment(t.Context(), sealed, opener(object), moment(2)); err != nil {
				t.Fatal(err)
			}
			r := w.open(t, nil)
			seg := facts(t, r).History.Segments[0]
			read.Store(0)
			if err := readFirst(t, r, seg); err != nil {
				t.Fatal(err)
			}
			if n := read.Load(); n == 0 || n > sealed.Size/10 {
				t.Errorf("%d bytes of %d were read", n, sealed.Size)
			}

			// Whoever can write to the store and knows the recipient puts another segment of the same form in its place.
			_, forged := sealCondensed(t, w, 9)
			if err := s.Delete(t.Context(), "app/"+seg.Name); err != nil {
				t.Fatal(err)
			}
			if err := s.Put(t.Context(), "app/"+seg.Name, bytes.NewReader(forged), -1); err != nil {
				t.Fatal(err)
			}
			var corrupt *repository.CorruptError
			if err := readFirst(t, r, seg); !errors.As(err, &corrupt) || corrupt.Object != "app/"+seg.Name {
				t.Errorf("a forged segment: %v", err)
			}
		})
	}
}

// TestLargeSegmentsOfOlderVersions: one whose index has no digests is compared as a whole.
func TestLargeSegmentsOfOlderVersions(t *testing.T) {
	for name, s := range map[string]store.Store{"folder": mem.New(), "network": remote{mem.New()}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, s)
			sealed, object := sealCondensed(t, w, 0)
			sealed.Index.SHA256 = ""
			if _, err := w.repo.AppendSegment(t.Context(), sealed, opener(object), moment(2)); err != nil {
				t.Fatal(err)
			}
			r := w.open(t, nil)
			seg := facts(t, r).History.Segments[0]
			if err := readFirst(t, r, seg); err != nil {
				t.Fatal(err)
			}
			object[len(object)-1] ^= 1
			if err := errors.Join(s.Delete(t.Context(), "app/"+seg.Name), s.Put(t.Context(), "app/"+seg.Name, bytes.NewReader(object), -1)); err != nil {
				t.Fatal(err)
			}
			var corrupt *repository.CorruptError
			if err := readFirst(t, r, seg); !errors.As(err, &corrupt) {
				t.Errorf("damage far from what is read: %v", err)
			}
		})
	}
}
