package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

var epoch = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// piece makes the nth piece of a log: from n-1 to n, with size bytes that depend on n.
func piece(n uint64, size int) engine.Piece {
	data := make([]byte, size)
	rnd := rand.New(rand.NewPCG(n, 7))
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	at := epoch.Add(time.Duration(n) * time.Second)
	return engine.Piece{
		From: history.At(1, n-1), To: history.At(1, n), Since: at.Add(-time.Second), Until: at,
		File: fmt.Sprintf("%016x.log", n), Offset: int64(n % 3), Complete: n%2 == 0, Data: data,
		Marks: []history.Mark{{Position: history.At(1, n), Time: at.Add(-time.Millisecond), XID: n * 3}},
		Token: []byte(fmt.Sprintf("token %d", n)),
	}
}

func pieces(from, to uint64, size int) []engine.Piece {
	var all []engine.Piece
	for n := from; n <= to; n++ {
		all = append(all, piece(n, size))
	}
	return all
}

// unsynced is for tests that open thousands of spools.
func unsynced(*os.File) error { return nil }

// stride is how far to go on where every byte is tried: n with -short.
func stride(n int64) int64 {
	if testing.Short() {
		return n
	}
	return 1
}

func open(t *testing.T, dir string, o Options) *Spool {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// start opens a spool whose line begins at 1/0.
func start(t *testing.T, dir string, o Options) *Spool {
	t.Helper()
	s := open(t, dir, o)
	if err := s.Reset(engine.Bookmark{Position: history.At(1, 0), Time: epoch, Token: []byte("base")}, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func add(t *testing.T, s *Spool, p ...engine.Piece) {
	t.Helper()
	if err := s.Append(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// contents reads all pieces after from with their data.
func contents(s *Spool, from history.Position) ([]engine.Piece, error) {
	var all []engine.Piece
	for e, err := range s.Read(from) {
		if err != nil {
			return all, err
		}
		if e.Break {
			continue
		}
		data, err := e.Data(nil)
		if err != nil {
			return all, err
		}
		e.Piece.Data = data
		all = append(all, e.Piece)
	}
	return all, nil
}

func expect(t *testing.T, s *Spool, from history.Position, want []engine.Piece) {
	t.Helper()
	got, err := contents(s, from)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("contents after %s (-want +got):\n%s", from, diff)
	}
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasAppendedIsRead(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{JournalBytes: 4 << 10})
	all := pieces(1, 40, 700)
	all = append(all, engine.Piece{From: history.At(1, 40), To: history.At(1, 40), Since: all[39].Until, Until: all[39].Until.Add(time.Minute)})
	for i := 0; i < len(all); i += 3 {
		add(t, s, all[i:min(i+3, len(all))]...)
	}
	expect(t, s, history.At(1, 0), all)
	expect(t, s, history.At(1, 17), all[17:])
	expect(t, s, history.At(1, 40), all[40:])
	if st := s.Stats(); st.Journals < 5 || st.Pieces != 41 || st.Appends != 14 {
		t.Errorf("stats = %+v", st)
	}
	before := s.Bookmark()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	expect(t, s, history.Position{}, all)
	if !sameBookmark(before, s.Bookmark()) || !s.Bookmark().Time.Equal(all[40].Until) {
		t.Errorf("bookmark %+v, was %+v", s.Bookmark(), before)
	}
	if torn := s.Stats().Torn; torn != 0 {
		t.Errorf("%d torn bytes after a clean close", torn)
	}
}

func TestOneSyncPerBatch(t *testing.T) {
	syncs := 0
	s := start(t, t.TempDir(), Options{Sync: func(f *os.File) error { syncs++; return f.Sync() }})
	syncs = 0
	add(t, s, pieces(1, 50, 10_000)...)
	if syncs != 1 {
		t.Errorf("%d syncs for one batch", syncs)
	}
}

// TestZerosBehindTheEnd sees that a journal that grows gets room ahead, and that nobody takes it for log: not who looks on, not who opens
// what a crash left, with the last batch torn or whole.
func TestZerosBehindTheEnd(t *testing.T) {
	dir, size := t.TempDir(), func(name string) int64 {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	s := start(t, dir, Options{})
	name := filepath.Join(dir, journalName(1))
	add(t, s, pieces(1, 2, 1000)...)
	if got, want := size(name), s.Stats().Bytes; got != want {
		t.Errorf("a short journal has %d bytes on disk, and %d of log", got, want)
	}
	longer := 0 // how often the file became longer
	for i := uint64(3); i <= 400; i++ {
		before := size(name)
		add(t, s, piece(i, 1000))
		if size(name) > before {
			longer++
		}
	}
	want := pieces(1, 400, 1000)
	if longer > 70 { // 64 until it has so much that room is made, and some steps since
		t.Errorf("400 appends made the file longer %d times", longer)
	}
	if size(name) <= s.Stats().Bytes {
		t.Error("a long journal has no room ahead")
	}

	peek, err := Peek(dir)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, peek, history.Position{}, want)
	if err := peek.Close(); err != nil {
		t.Fatal(err)
	}
	for _, torn := range []bool{false, true} {
		left := t.TempDir()
		copyDir(t, dir, left)
		if torn {
			f, err := os.OpenFile(filepath.Join(left, journalName(1)), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt([]byte("the first bytes of a batch"), s.Stats().Bytes)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}
		after := open(t, left, Options{})
		if n := after.Stats().Torn; n > 0 != torn {
			t.Errorf("torn %v: %d bytes were cut off as torn", torn, n)
		}
		expect(t, after, history.Position{}, want)
		add(t, after, piece(401, 1000))
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
		if got, want := size(filepath.Join(left, journalName(1))), after.Stats().Bytes; got != want {
			t.Errorf("a closed journal has %d bytes on disk, and %d of log", got, want)
		}
		expect(t, open(t, left, Options{}), history.Position{}, append(want[:len(want):len(want)], piece(401, 1000)))
	}
}

func TestPiecesMustJoin(t *testing.T) {
	s := start(t, t.TempDir(), Options{})
	add(t, s, piece(1, 10))
	var broken *ContinuityError
	if err := s.Append(t.Context(), []engine.Piece{piece(3, 10)}); !errors.As(err, &broken) {
		t.Fatalf("err = %v", err)
	}
	if err := s.Append(t.Context(), []engine.Piece{piece(2, 10), piece(4, 10)}); !errors.As(err, &broken) {
		t.Fatalf("err = %v", err)
	}
	if err := s.Reset(engine.Bookmark{Position: history.At(1, 0)}, nil); !errors.As(err, &broken) {
		t.Fatalf("err = %v", err)
	}
	expect(t, s, history.Position{}, pieces(1, 1, 10))
}

func TestFullSpoolKeepsAllAndTakesNothing(t *testing.T) {
	s := start(t, t.TempDir(), Options{MaxBytes: 64 << 10})
	n := uint64(0)
	for {
		err := s.Append(t.Context(), []engine.Piece{piece(n+1, 1000)})
		if err != nil {
			var full *FullError
			if !errors.Is(err, ErrFull) || !errors.As(err, &full) || full.Max != 64<<10 {
				t.Fatal(err)
			}
			break
		}
		n++
	}
	if n < 50 {
		t.Fatalf("full after %d pieces", n)
	}
	expect(t, s, history.Position{}, pieces(1, n, 1000))
	if err := s.Release(history.At(1, n/2)); err != nil {
		t.Fatal(err)
	}
	add(t, s, piece(n+1, 1000))
	expect(t, s, history.At(1, n/2), pieces(n/2+1, n+1, 1000))
	if err := s.Release(history.At(1, n+1)); err != nil {
		t.Fatal(err)
	}
	add(t, s, piece(n+2, 100<<10)) // larger than the bound, but alone
	if err := s.Append(t.Context(), []engine.Piece{piece(n+3, 1)}); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
}

func TestWhatLiesBesideCounts(t *testing.T) {
	beside := int64(0)
	s := start(t, t.TempDir(), Options{MaxBytes: 8 << 10, Beside: func() int64 { return beside }})
	add(t, s, pieces(1, 4, 500)...)
	beside = 6 << 10
	var full *FullError
	if err := s.Append(t.Context(), pieces(5, 6, 500)); !errors.As(err, &full) || full.Bytes != s.Stats().Bytes || full.Bytes < 8<<10 {
		t.Fatalf("err = %v", err)
	}
	beside = 0
	add(t, s, pieces(5, 6, 500)...)
}

func TestReleaseKeepsTheBookmark(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{JournalBytes: 2 << 10})
	add(t, s, pieces(1, 3, 1000)...)
	add(t, s, pieces(4, 6, 1000)...)
	var early Entry
	for e := range s.Read(history.At(1, 0)) {
		early = e
		break
	}
	if err := s.Release(history.At(1, 2)); err != nil {
		t.Fatal(err)
	}
	expect(t, s, history.At(1, 0), pieces(1, 6, 1000)) // the first journal holds 3 too
	if err := s.Release(history.At(1, 6)); err != nil {
		t.Fatal(err)
	}
	if _, err := early.Data(nil); !errors.Is(err, ErrReleased) {
		t.Errorf("read of a released piece: %v", err)
	}
	if st := s.Stats(); st.Journals != 1 || st.Bytes > 200 {
		t.Errorf("stats = %+v", st)
	}
	for e, err := range s.ReadAfter(early.After) { // a cursor into a released journal reads on with what is left
		t.Errorf("read %v, %v", e, err)
	}
	want := s.Bookmark()
	s.Close()
	s = open(t, dir, Options{})
	if !sameBookmark(want, s.Bookmark()) || string(want.Token) != "token 6" {
		t.Errorf("bookmark %+v, was %+v", s.Bookmark(), want)
	}
	add(t, s, piece(7, 10))
	expect(t, s, history.At(1, 6), pieces(7, 7, 10))
}

func TestAppendAfterCloseAndWithEndedContext(t *testing.T) {
	s := start(t, t.TempDir(), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Append(ctx, pieces(1, 1, 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.Close()
	if err := s.Append(t.Context(), pieces(1, 1, 1)); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}
