package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

const cutPageSize = 512

// cutLog is a log of hand-made commits that is cut into segments wherever a test likes.
type cutLog struct {
	files    map[string][]byte
	states   [][]byte // of the database: after the base, after commit 1, and so on
	segments []*cutSegment
	read     []string
}

// cutSegment is one segment: parts of files, and the last commit that is complete in it.
type cutSegment struct {
	log     *cutLog
	from    uint64
	to      uint64
	entries []engine.LogEntry
}

// newCutLog makes commits of pages pages each.
func newCutLog(t *testing.T, commits, pages int) *cutLog {
	t.Helper()
	db := make([]byte, pages*cutPageSize)
	copy(db, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(db[16:], cutPageSize)
	binary.BigEndian.PutUint32(db[28:], uint32(pages))
	l := &cutLog{files: map[string][]byte{}, states: [][]byte{bytes.Clone(db)}}
	at := func(b []byte, p uint32) []byte { return b[(p-1)*cutPageSize : p*cutPageSize] }
	sum := uint64(0)
	for p := uint32(1); p <= uint32(pages); p++ {
		sum ^= pageSum(p, at(db, p))
	}
	for n := 1; n <= commits; n++ {
		before := bytes.Clone(db)
		var b bytes.Buffer
		tx := &transaction{txid: uint64(n + 1), pageSize: cutPageSize, before: uint32(pages), commit: uint32(pages), time: cutTime(uint64(n)),
			read:   func(p uint32, into []byte) error { copy(into, at(db, p)); return nil },
			oldSum: func(p uint32) (uint64, error) { return pageSum(p, at(before, p)), nil },
			newSum: func(uint32, uint64) {}}
		for p := uint32(1); p <= uint32(pages); p++ {
			if p > 1 && (int(p)+n)%3 == 0 {
				continue
			}
			tx.pages = append(tx.pages, p)
			binary.BigEndian.PutUint64(at(db, p)[100:], uint64(n)<<32|uint64(p))
		}
		var err error
		if sum, err = tx.encode(&b, sum); err != nil {
			t.Fatal(err)
		}
		l.files[cutName(n)] = b.Bytes()
		l.states = append(l.states, bytes.Clone(db))
	}
	return l
}

// cutName is the file of commit n. The base has the first TXID.
func cutName(n int) string { return fileName(uint64(n+1), uint64(n+1)) }

func cutAt(n uint64) history.Position { return history.At(1, n+1) }

func cutTime(n uint64) time.Time { return time.Unix(1e9+int64(n), 0).UTC() }

// cut says that a segment holds the bytes from..to of the file of commit n, as thirds of it.
type cut struct{ n, from, to int }

// add puts a segment behind the others, which goes from commit from up to commit to.
func (l *cutLog) add(from, to uint64, cuts ...cut) *cutSegment {
	s := &cutSegment{log: l, from: from, to: to}
	for _, c := range cuts {
		name := cutName(c.n)
		size := len(l.files[name])
		begin, end := size*c.from/3, size*c.to/3
		s.entries = append(s.entries, engine.LogEntry{File: name, Offset: int64(begin), Size: int64(end - begin)})
	}
	l.segments = append(l.segments, s)
	return s
}

// condense adds the condensed file of the commits from..to.
func (s *cutSegment) condense(t *testing.T, from, to int) {
	t.Helper()
	var files []engine.CondenseFile
	for n := from; n <= to; n++ {
		data := s.log.files[cutName(n)]
		files = append(files, engine.CondenseFile{Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
	}
	var b bytes.Buffer
	name, err := Engine{}.Condense(t.Context(), files, &b)
	if err != nil || name == "" {
		t.Fatalf("condensed to %q: %v", name, err)
	}
	s.log.files[name] = b.Bytes()
	s.entries = append([]engine.LogEntry{{File: name, Size: int64(b.Len()), Condensed: true}}, s.entries...)
}

func (l *cutLog) Segments() []history.Segment {
	var all []history.Segment
	for _, s := range l.segments {
		all = append(all, history.Segment{From: cutAt(s.from), To: cutAt(s.to), Since: cutTime(s.from), Until: cutTime(s.to)})
	}
	return all
}

func (l *cutLog) Open(_ context.Context, i int) (engine.LogSegment, error) { return l.segments[i], nil }

func (s *cutSegment) Entries() []engine.LogEntry { return s.entries }

func (s *cutSegment) Read(_ context.Context, e engine.LogEntry) (io.ReadCloser, error) {
	s.log.read = append(s.log.read, e.File)
	data := s.log.files[e.File][e.Offset : e.Offset+e.Size]
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (s *cutSegment) Marks(context.Context) iter.Seq2[history.Mark, error] {
	return func(yield func(history.Mark, error) bool) {
		for n := s.from + 1; n <= s.to; n++ {
			if !yield(history.Mark{Position: cutAt(n), Time: cutTime(n)}, nil) {
				return
			}
		}
	}
}

func (s *cutSegment) Close() error { return nil }

// TestReplayJoinsParts: a log that was cut inside the files of large commits is replayed, to each commit in it.
func TestReplayJoinsParts(t *testing.T) {
	t.Parallel()
	whole := func(n int) cut { return cut{n, 0, 3} }
	for name, build := range map[string]func(l *cutLog){
		"one segment": func(l *cutLog) {
			l.add(0, 4, whole(1), cut{2, 0, 1}, cut{2, 1, 2}, cut{2, 2, 3}, whole(3), whole(4))
		},
		"two segments": func(l *cutLog) {
			l.add(0, 1, whole(1), cut{2, 0, 2})
			l.add(1, 4, cut{2, 2, 3}, whole(3), whole(4))
		},
		"three segments": func(l *cutLog) {
			l.add(0, 1, whole(1), cut{2, 0, 1})
			l.add(1, 1, cut{2, 1, 2})
			l.add(1, 4, cut{2, 2, 3}, whole(3), whole(4))
		},
		"begun again in the same segment": func(l *cutLog) {
			l.add(0, 4, whole(1), cut{2, 0, 2}, cut{2, 0, 1}, cut{2, 1, 3}, whole(3), whole(4))
		},
		"begun again in another segment": func(l *cutLog) {
			l.add(0, 1, whole(1), cut{2, 0, 1}, cut{2, 1, 2})
			l.add(1, 4, whole(2), whole(3), whole(4))
		},
		"never finished": func(l *cutLog) {
			l.add(0, 4, whole(1), whole(2), whole(3), whole(4), cut{5, 0, 2})
		},
		"begins inside a file that the base has": func(l *cutLog) {
			l.add(0, 4, whole(1), whole(2), whole(3), whole(4))
			l.segments[0].entries = append([]engine.LogEntry{{File: fileName(1, 1), Offset: 7, Size: 1}}, l.segments[0].entries...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newCutLog(t, 5, 30)
			build(l)
			for to := uint64(1); to <= 4; to++ {
				l.proves(t, to, l, engine.Goal{Position: cutAt(to)})
				l.proves(t, to, l, engine.Goal{Time: cutTime(to)})
			}
			l.proves(t, 4, l, engine.Goal{})
		})
	}
}

// TestReplayCondensedBesideParts: a condensed file counts for what it holds wholly, and nothing else.
func TestReplayCondensedBesideParts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		build func(l *cutLog)
		reads string // with the newest commit as the goal
	}{
		"ends before a part": {func(l *cutLog) {
			l.add(0, 2, cut{1, 0, 3}, cut{2, 0, 3}, cut{3, 0, 1}).condense(t, 1, 2)
			l.add(2, 4, cut{3, 1, 3}, cut{4, 0, 3})
		}, "5-5 4-4 4-4 2-3"},
		"begins behind a part": {func(l *cutLog) {
			l.add(0, 1, cut{1, 0, 3}, cut{2, 0, 2})
			l.add(1, 4, cut{2, 2, 3}, cut{3, 0, 3}, cut{4, 0, 3}).condense(t, 3, 4)
		}, "4-5 3-3 3-3 2-2"},
		"names a file that the segment begins inside of": {func(l *cutLog) {
			l.add(0, 1, cut{1, 0, 3}, cut{2, 0, 2})
			l.add(1, 4, cut{2, 2, 3}, cut{3, 0, 3}, cut{4, 0, 3}).condense(t, 2, 4)
		}, "5-5 4-4 3-3 3-3 2-2"},
		"begun again": {func(l *cutLog) {
			l.add(0, 1, cut{1, 0, 3}, cut{2, 0, 2})
			l.add(1, 4, cut{2, 0, 3}, cut{3, 0, 3}, cut{4, 0, 3}).condense(t, 2, 4)
		}, "3-5 2-2"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newCutLog(t, 4, 30)
			test.build(l)
			for to := uint64(1); to <= 4; to++ {
				l.proves(t, to, l, engine.Goal{Position: cutAt(to)})
			}
			got := strings.NewReplacer("000000000000000", "", ".ltx", "").Replace(strings.Join(l.read, " "))
			if got != test.reads {
				t.Errorf("read %s, want %s", got, test.reads)
			}
		})
	}
}

// TestReplayMissesAPart: a part that is nowhere is told, and nothing older than it is read.
func TestReplayMissesAPart(t *testing.T) {
	t.Parallel()
	l := newCutLog(t, 3, 30)
	l.add(0, 1, cut{1, 0, 3}, cut{2, 0, 1})
	l.add(1, 3, cut{2, 2, 3}, cut{3, 0, 3})
	_, err := Engine{}.Replay(t.Context(), l.lay(t), l, engine.Goal{})
	if err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Fatal(err)
	}
	if want := []string{cutName(3)}; !slices.Equal(l.read, want) {
		t.Errorf("read %v, want %v", l.read, want)
	}
}

func (l *cutLog) lay(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.db"), l.states[0], 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// proves replays log, which is l or made of it, to a goal, which is commit n.
func (l *cutLog) proves(t *testing.T, n uint64, log engine.Log, to engine.Goal) {
	t.Helper()
	dir := l.lay(t)
	l.read = nil
	reached, err := Engine{}.Replay(t.Context(), dir, log, to)
	if err != nil {
		t.Errorf("to %d: %v", n, err)
		return
	}
	got, err := os.ReadFile(filepath.Join(dir, "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	if reached.Position != cutAt(n) || !bytes.Equal(got, l.states[n]) {
		t.Errorf("reached %s, want %s; data right: %v", reached.Position, cutAt(n), bytes.Equal(got, l.states[n]))
	}
}
