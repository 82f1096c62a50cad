package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/spool"
)

// TestLocalGivesWhatARepositoryLacks reads a spool that is being written: a line of six commits, the fourth of them in
// two parts, then a break and a line of two.
func TestLocalGivesWhatARepositoryLacks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	if _, err := OpenLocal(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("without a spool: %v", err)
	}
	sp, err := spool.Open(dir, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	begin := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	at := func(n uint64) time.Time { return begin.Add(time.Duration(n) * time.Second) }
	piece := func(timeline uint32, n uint64) engine.Piece {
		return engine.Piece{
			From: history.At(timeline, n-1), To: history.At(timeline, n), Since: at(n - 1), Until: at(n), File: fmt.Sprint(n), Complete: true,
			Data: []byte(fmt.Sprintf("<%d>", n)), Marks: []history.Mark{{Position: history.At(timeline, n), Time: at(n)}},
		}
	}
	first, rest := piece(1, 4), piece(1, 4)
	first.To, first.Complete, first.Marks, first.Data = first.From, false, nil, []byte("<4")
	rest.Offset, rest.Data = 2, []byte(">")
	err = errors.Join(
		sp.Reset(engine.Bookmark{Position: history.At(1, 0), Time: at(0)}, nil),
		sp.Append(t.Context(), []engine.Piece{piece(1, 1), piece(1, 2), piece(1, 3), first, rest, piece(1, 5), piece(1, 6)}),
		sp.Reset(engine.Bookmark{Position: history.At(2, 8), Time: at(8)}, &history.Gap{From: history.At(1, 6), To: history.At(2, 8)}),
		sp.Append(t.Context(), []engine.Piece{piece(2, 9), piece(2, 10)}),
	)
	if err != nil {
		t.Fatal(err)
	}
	local, err := OpenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	if w := local.Whole(); !w.Position.Equal(history.At(2, 10)) || !w.Time.Equal(at(10)) {
		t.Errorf("whole at %v", w)
	}
	segment := func(timeline uint32, from, to uint64) history.Segment {
		return history.Segment{Name: "s", From: history.At(timeline, from), To: history.At(timeline, to)}
	}
	for _, c := range []struct {
		name string
		has  []history.Segment
		want string
	}{
		{"nothing", nil, "1/0-1/6 6: <1><2><3><4><5><6>; 2/8-2/10 2: <9><10>"},
		{"the beginning", []history.Segment{segment(1, 0, 1), segment(1, 1, 3)}, "1/3-1/6 3: <4><5><6>; 2/8-2/10 2: <9><10>"},
		{"the first line", []history.Segment{segment(1, 0, 6)}, "2/8-2/10 2: <9><10>"},
		{"the second line", []history.Segment{segment(2, 8, 10)}, "1/0-1/6 6: <1><2><3><4><5><6>"},
		{"more than is here", []history.Segment{segment(1, 0, 6), segment(2, 9, 12)}, ""},
	} {
		log, err := local.Beyond(history.History{Segments: c.has})
		if err != nil {
			t.Fatal(err)
		}
		if got := tell(t, log); got != c.want {
			t.Errorf("a repository with %s lacks %q, want %q", c.name, got, c.want)
		}
	}
}

// tell prints a log: from, to, number of marks and bytes of each segment.
func tell(t *testing.T, log engine.Log) string {
	t.Helper()
	var all []string
	for i, s := range log.Segments() {
		opened, err := log.Open(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		data, marks := "", 0
		for _, e := range opened.Entries() {
			r, err := opened.Read(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil || int64(len(b)) != e.Size {
				t.Fatalf("entry %+v gives %d bytes, %v", e, len(b), err)
			}
			data += string(b)
		}
		for _, err := range opened.Marks(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			marks++
		}
		if int64(marks) != s.Commits || int64(len(data)) != s.Bytes {
			t.Errorf("segment %+v holds %d marks and %d bytes", s, marks, len(data))
		}
		all = append(all, fmt.Sprintf("%s-%s %d: %s", s.From, s.To, marks, data))
	}
	return strings.Join(all, "; ")
}
