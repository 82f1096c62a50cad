package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/superfly/ltx"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
)

const (
	sealedPages   = 64 // of the database
	sealedCommits = 60 // in a segment, each with 16 pages that cannot be packed: 4 MB
)

// sealedLog is a log in sealed segments on disk, as a repository has it.
type sealedLog struct {
	identity *age.X25519Identity
	segments []pack.Sealed
	paths    []string
	base     []byte
	latest   []byte
	open     atomic.Int32
	most     atomic.Int32 // segments that were open at once
}

func newSealedLog(t *testing.T, segments int) *sealedLog {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	db := make([]byte, sealedPages*4096)
	copy(db, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(db[16:], 4096)
	binary.BigEndian.PutUint32(db[28:], sealedPages)
	l := &sealedLog{identity: id, base: bytes.Clone(db), latest: db}
	sum := uint64(0)
	for p := uint32(1); p <= sealedPages; p++ {
		sum ^= pageSum(p, page(db, p))
	}
	random := rand.NewChaCha8([32]byte{})
	dir := t.TempDir()
	for i := range segments {
		var entries []pack.SegmentEntry
		var marks []history.Mark
		first := uint64(i*sealedCommits + 2)
		for n := first; n < first+sealedCommits; n++ {
			var data []byte
			data, sum = sealedCommit(t, n, db, sum, random)
			entries = append(entries, pack.SegmentEntry{File: fileName(n, n), Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(data)), nil
			}})
			marks = append(marks, history.Mark{Position: history.At(1, n), Time: cutTime(n)})
		}
		l.seal(t, filepath.Join(dir, fmt.Sprint(i)), first, entries, marks)
	}
	return l
}

func page(db []byte, p uint32) []byte { return db[(p-1)*4096 : p*4096] }

// sealedCommit is the file of a commit, which changes pages of db, and the checksum after it.
func sealedCommit(t *testing.T, n uint64, db []byte, sum uint64, random *rand.ChaCha8) ([]byte, uint64) {
	t.Helper()
	var b bytes.Buffer
	w, err := newLTXWriter(&b, ltx.Header{Version: ltx.Version, PageSize: 4096, Commit: sealedPages, MinTXID: ltx.TXID(n), MaxTXID: ltx.TXID(n), PreApplyChecksum: checksum(sum)})
	for p := uint32(n%4 + 1); err == nil && p <= sealedPages; p += 4 {
		at := page(db, p)
		sum ^= pageSum(p, at)
		if p > 1 {
			_, _ = random.Read(at)
		} else {
			_, _ = random.Read(at[100:])
		}
		sum ^= pageSum(p, at)
		err = w.page(p, at)
	}
	if err == nil {
		err = w.close(checksum(sum))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), sum
}

func (l *sealedLog) seal(t *testing.T, path string, first uint64, entries []pack.SegmentEntry, marks []history.Mark) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	last := first + uint64(len(entries)) - 1
	segment := history.Segment{From: history.At(1, first-1), To: history.At(1, last), Since: cutTime(first - 1), Until: cutTime(last)}
	sealed, err := pack.SealSegment(t.Context(), f, pack.SegmentSealer{Recipients: []age.Recipient{l.identity.Recipient()}},
		pack.SegmentSpec{Segment: segment, Entries: slices.Values(entries), Marks: slices.Values(marks)})
	if err != nil {
		t.Fatal(err)
	}
	l.segments, l.paths = append(l.segments, sealed), append(l.paths, path)
}

func (l *sealedLog) Segments() (all []history.Segment) {
	for _, s := range l.segments {
		all = append(all, s.Segment)
	}
	return all
}

func (l *sealedLog) Open(ctx context.Context, i int) (engine.LogSegment, error) {
	src := pack.Source{Name: l.paths[i], Size: l.segments[i].Size, Open: func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		f, err := os.Open(l.paths[i])
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.NewSectionReader(f, off, n), f}, nil
	}}
	r, err := pack.OpenSegment(ctx, src, l.segments[i].Index, []age.Identity{l.identity})
	if err != nil {
		return nil, err
	}
	for n := l.open.Add(1); ; {
		if most := l.most.Load(); n <= most || l.most.CompareAndSwap(most, n) {
			return &sealedSegment{r, l}, nil
		}
	}
}

// sealedSegment counts that it is closed.
type sealedSegment struct {
	*pack.SegmentReader
	log *sealedLog
}

func (s *sealedSegment) Close() error {
	s.log.open.Add(-1)
	return s.SegmentReader.Close()
}

// replayed replays all of the log, and gives the most memory that was in use meanwhile, beyond what was before.
func (l *sealedLog) replayed(t *testing.T) int64 {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.db"), l.base, 0o600); err != nil {
		t.Fatal(err)
	}
	heap() // empties the pools, in two steps
	before, most, files := heap(), int64(0), 0
	progress := func(int64, int64) {
		if files++; files%10 == 0 {
			most = max(most, heap()-before)
		}
	}
	if _, err := (Engine{}).Replay(t.Context(), dir, l, engine.Goal{Progress: progress}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "app.db")); err != nil || !bytes.Equal(got, l.latest) {
		t.Fatalf("the database is not what was committed: %v", err)
	}
	if want := len(l.segments) * sealedCommits; files != want {
		t.Errorf("%d files were applied, want %d", files, want)
	}
	return most
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestReplayMemoryIsBounded: four times the log takes no more memory, and only a few segments are open at once. It is not
// parallel: it looks at the memory of all.
func TestReplayMemoryIsBounded(t *testing.T) {
	began := time.Now()
	few, many := newSealedLog(t, 4), newSealedLog(t, 16)
	little, much := few.replayed(t), many.replayed(t)
	t.Logf("%d KB for %d segments, %d KB for %d, in %v", little>>10, len(few.segments), much>>10, len(many.segments), time.Since(began))
	if much > little+4<<20 {
		t.Errorf("%d segments take %d KB, %d take %d KB", len(few.segments), little>>10, len(many.segments), much>>10)
	}
	// The one that is read, those that wait, and the one that is begun when it is taken.
	if most := many.most.Load(); most > openAhead+2 {
		t.Errorf("%d segments were open at once", most)
	}
	if n := few.open.Load() + many.open.Load(); n != 0 {
		t.Errorf("%d segments stayed open", n)
	}
}
