package spool

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

func TestHolesInTimeAreMarked(t *testing.T) {
	s := start(t, t.TempDir(), Options{})
	late := piece(2, 10)
	late.Since = late.Since.Add(time.Millisecond)
	add(t, s, piece(1, 10), late, piece(3, 10))
	var holes []bool
	for e, err := range s.Read(history.At(1, 0)) {
		if err != nil {
			t.Fatal(err)
		}
		holes = append(holes, e.Hole)
	}
	if diff := cmp.Diff([]bool{false, true, false}, holes); diff != "" {
		t.Error(diff)
	}
}

// TestPartsOfACommitStayTogether: what there is of a commit is not released with the commit before it, is read from there
// on, and is taken to its end.
func TestPartsOfACommitStayTogether(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{JournalBytes: 2 << 10, MaxBytes: 12 << 10})
	add(t, s, pieces(1, 3, 1000)...)
	part := func(i int, size int) engine.Piece {
		p := piece(4, size)
		p.To, p.Marks, p.Complete, p.Offset = p.From, nil, false, int64(i*2000)
		return p
	}
	last := piece(4, 100)
	last.Offset, last.Complete = 16000, true
	var all []engine.Piece
	for i := range 8 { // 16 KiB
		all = append(all, part(i, 2000))
		add(t, s, all[i])
		if err := s.Release(history.At(1, 3)); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, s, history.At(1, 3), all)
	s.Close()
	s = open(t, dir, Options{JournalBytes: 2 << 10, MaxBytes: 12 << 10})
	if err := s.Release(history.At(1, 3)); err != nil {
		t.Fatal(err)
	}
	expect(t, s, history.At(1, 3), all)
	add(t, s, last)
	expect(t, s, history.At(1, 3), append(all, last))
	if err := s.Append(t.Context(), pieces(5, 5, 10)); !errors.Is(err, ErrFull) {
		t.Errorf("a full spool takes another commit: %v", err)
	}
	if err := s.Release(history.At(1, 4)); err != nil {
		t.Fatal(err)
	}
	expect(t, s, history.At(1, 3), nil)
	add(t, s, piece(5, 10))
}

func TestResetKeepsTheOldLine(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{})
	add(t, s, pieces(1, 2, 10)...)
	gap := &history.Gap{From: history.At(1, 2), To: history.At(2, 9), Since: epoch, Until: epoch.Add(time.Hour), Reason: "the log was reset"}
	if err := s.Reset(engine.Bookmark{Position: history.At(2, 9), Token: []byte("new")}, gap); err != nil {
		t.Fatal(err)
	}
	next := piece(10, 10)
	next.From, next.To = history.At(2, 9), history.At(2, 10)
	add(t, s, next)
	s.Close()
	s = open(t, dir, Options{})
	expect(t, s, history.Position{}, append(pieces(1, 2, 10), next))
	breaks := 0
	for e, err := range s.Read(history.At(1, 1)) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Break {
			breaks++
			if diff := cmp.Diff(gap, e.Gap); diff != "" || e.Piece.To != history.At(2, 9) {
				t.Errorf("break %+v: %s", e, diff)
			}
		}
	}
	if breaks != 1 {
		t.Errorf("%d breaks", breaks)
	}
}

func TestCursorsReadOn(t *testing.T) {
	s := start(t, t.TempDir(), Options{JournalBytes: 3 << 10})
	var at Cursor
	var got []uint64
	for n := uint64(1); n <= 30; n++ {
		add(t, s, piece(n, 500))
		if n%4 != 0 {
			continue
		}
		for e, err := range s.ReadAfter(at) {
			if err != nil {
				t.Fatal(err)
			}
			at = e.After
			if !e.Break {
				got = append(got, e.Piece.To.Seq)
			}
		}
	}
	for i, n := range got {
		if n != uint64(i+1) {
			t.Fatalf("read %v", got)
		}
	}
	if len(got) != 28 {
		t.Errorf("read %d pieces", len(got))
	}
}
