package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
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

func TestTornEndIsCutAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{})
	add(t, s, pieces(1, 3, 40)...)
	whole := s.Stats().Bytes
	add(t, s, pieces(4, 6, 40)...) // the batch that tears
	end := s.Stats().Bytes
	for cut := whole; cut < end; cut++ {
		torn := filepath.Join(t.TempDir(), "s")
		copyDir(t, dir, torn)
		if err := os.Truncate(filepath.Join(torn, journalName(1)), cut); err != nil {
			t.Fatal(err)
		}
		s := open(t, torn, Options{Sync: unsynced})
		expect(t, s, history.Position{}, pieces(1, 3, 40))
		if st := s.Stats(); st.Torn != cut-whole {
			t.Errorf("cut at %d: %d bytes torn", cut, st.Torn)
		}
		add(t, s, pieces(4, 4, 40)...)
		s.Close()
		expect(t, open(t, torn, Options{Sync: unsynced}), history.Position{}, pieces(1, 4, 40))
	}
}

func TestFlippedBitsAreFoundEverywhere(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{JournalBytes: 600})
	for n := uint64(1); n <= 5; n++ {
		add(t, s, piece(n, 60))
	}
	if s.Stats().Journals < 2 {
		t.Fatal("all in one journal")
	}
	sealAt := int64(0)
	for e := range s.Read(history.Position{}) {
		sealAt = e.After.offset
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	numbers, err := listJournals(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range numbers {
		name := journalName(n)
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		damaged := filepath.Join(t.TempDir(), "s")
		copyDir(t, dir, damaged)
		for at := range raw {
			flipped := bytes.Clone(raw)
			flipped[at] ^= 1 << (at % 8)
			if err := os.WriteFile(filepath.Join(damaged, name), flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(damaged, Options{Sync: unsynced})
			if i == len(numbers)-1 && int64(at) >= sealAt { // the seal alone may go: it protects, and says nothing
				if err != nil {
					t.Fatalf("flip in the seal: %v", err)
				}
				expect(t, s, history.Position{}, pieces(1, 5, 60))
				s.closeFiles()
				continue
			}
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || filepath.Base(corrupt.File) != name {
				t.Fatalf("%s: flip at %d of %d: %v", name, at, len(raw), err)
			}
		}
		if err := os.WriteFile(filepath.Join(damaged, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMissingAndShortJournalsAreFound(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"missing": func(dir string) error { return os.Remove(filepath.Join(dir, journalName(2))) },
		"short":   func(dir string) error { return os.Truncate(filepath.Join(dir, journalName(2)), 900) },
		"swapped": func(dir string) error {
			return os.Rename(filepath.Join(dir, journalName(1)), filepath.Join(dir, journalName(2)))
		},
	} {
		dir := t.TempDir()
		s := start(t, dir, Options{JournalBytes: 1000})
		for n := uint64(1); n <= 20; n++ {
			add(t, s, piece(n, 200))
		}
		s.Close()
		if err := damage(dir); err != nil {
			t.Fatal(err)
		}
		var corrupt *CorruptError
		if _, err := Open(dir, Options{}); !errors.As(err, &corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadFindsDamageThatCameLater(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{})
	add(t, s, pieces(1, 3, 400)...)
	f, err := os.OpenFile(filepath.Join(dir, journalName(1)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("xxxx"), s.Stats().Bytes-300); err != nil {
		t.Fatal(err)
	}
	got, err := contents(s, history.Position{})
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || len(got) != 2 {
		t.Errorf("read %d pieces, %v", len(got), err)
	}
}

func TestFullDiskLeavesTheSpoolAsItWas(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{})
	add(t, s, pieces(1, 3, 300)...)
	room := 700
	s.writeAt = func(f *os.File, b []byte, off int64) error {
		n := min(room, len(b))
		if err := writeAt(f, b[:n], off); err != nil {
			return err
		}
		if n < len(b) {
			return &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
		}
		return nil
	}
	var refused *WriteError
	if err := s.Append(t.Context(), pieces(4, 9, 300)); !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &refused) || refused.Need < 6*300 {
		t.Fatalf("err = %v", err)
	}
	if err := s.Room(1000); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("room: %v", err)
	}
	expect(t, s, history.Position{}, pieces(1, 3, 300))
	s.writeAt = writeAt
	if err := s.Room(1 << 20); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	add(t, s, pieces(4, 5, 300)...)
	s.Close()
	expect(t, open(t, dir, Options{}), history.Position{}, pieces(1, 5, 300))
}

func TestFailedSyncIsNeverTrusted(t *testing.T) {
	dir := t.TempDir()
	fail := false
	s := start(t, dir, Options{Sync: func(f *os.File) error {
		if fail {
			return io.ErrShortWrite
		}
		return f.Sync()
	}})
	add(t, s, pieces(1, 3, 300)...)
	fail = true
	if err := s.Append(t.Context(), pieces(4, 9, 300)); !errors.Is(err, io.ErrShortWrite) {
		t.Fatalf("err = %v", err)
	}
	fail = false
	add(t, s, pieces(4, 4, 300)...)
	if n := s.Stats().Journals; n != 2 {
		t.Errorf("went on in the journal whose sync failed: %d journals", n)
	}
	// What the failed sync left behind the end does not count.
	f, err := os.OpenFile(filepath.Join(dir, journalName(1)), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("left behind"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s.Close()
	expect(t, open(t, dir, Options{}), history.Position{}, pieces(1, 4, 300))
}

// TestCrashAtEveryStep copies the folder before and after each write, sync and deletion, and opens each copy: what
// had been acknowledged and not released is there, and nothing that was not appended.
func TestCrashAtEveryStep(t *testing.T) {
	dir := t.TempDir()
	var acked, attempted, released uint64
	states := 0
	check := func() {
		states++
		at := filepath.Join(t.TempDir(), "s")
		copyDir(t, dir, at)
		s, err := Open(at, Options{Sync: unsynced})
		if err != nil {
			t.Fatalf("state %d: %v", states, err)
		}
		defer s.Close()
		got, err := contents(s, history.At(1, released))
		if err != nil {
			t.Fatalf("state %d: %v", states, err)
		}
		book := s.Bookmark().Position.Seq
		if n := uint64(len(got)); book != released+n || book != acked && book != attempted {
			t.Fatalf("state %d: %d pieces and bookmark %d; acknowledged %d, attempted %d, released %d", states, n, book, acked, attempted, released)
		}
		if diff := cmp.Diff(pieces(released+1, released+uint64(len(got)), 90), got, cmp.Transformer("none", func(p []engine.Piece) []engine.Piece {
			return append([]engine.Piece{}, p...)
		})); diff != "" {
			t.Fatal(diff)
		}
	}
	s := start(t, dir, Options{JournalBytes: 1500, Sync: func(f *os.File) error {
		check()
		defer check()
		return f.Sync()
	}})
	s.writeAt = func(f *os.File, b []byte, off int64) error {
		half := len(b) / 2
		if err := writeAt(f, b[:half], off); err != nil {
			return err
		}
		check()
		return writeAt(f, b[half:], off+int64(half))
	}
	syncDir := s.syncDir
	s.syncDir = func(dir string) error { check(); return syncDir(dir) }
	for acked < 60 {
		attempted = acked + 1 + acked%3
		add(t, s, pieces(acked+1, attempted, 90)...)
		acked = attempted
		check()
		if acked%5 == 0 {
			to := acked - acked/2%2
			released = to
			if err := s.Release(history.At(1, to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if states < 100 {
		t.Errorf("only %d states were checked", states)
	}
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

func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		f.Fatal(err)
	}
	gap := &history.Gap{To: history.At(1, 0), Reason: "none"}
	if err := errors.Join(s.Reset(engine.Bookmark{Position: history.At(1, 0)}, gap), s.Append(context.Background(), pieces(1, 4, 30)), s.Close()); err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, journalName(1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	f.Add([]byte("BSp0"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, journalName(1)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := decodeHeader(b); err == nil {
			if again, err := appendHeader(nil, r); err != nil || len(again) == 0 {
				t.Errorf("header %+v cannot be written again: %v", r, err)
			}
		}
		s, err := Open(dir, Options{Sync: unsynced})
		if err != nil {
			return
		}
		defer s.Close()
		if _, err := contents(s, history.Position{}); err != nil {
			t.Errorf("a spool that opened cannot be read: %v", err)
		}
	})
}
