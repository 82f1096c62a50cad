package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/backstaydb/backstay/internal/history"
)

func TestPeekReadsBesideAWriterAndChangesNothing(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{})
	add(t, s, pieces(1, 5, 300)...)
	// A batch that is being written: whoever opens the spool for writing would cut it off.
	path := filepath.Join(dir, journalName(1))
	add(t, s, piece(6, 300))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(whole)-10)); err != nil {
		t.Fatal(err)
	}
	p, err := Peek(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	got, err := contents(p, history.Position{})
	if err != nil || len(got) != 5 || !p.Bookmark().Position.Equal(history.At(1, 5)) {
		t.Errorf("a peek shows %d pieces up to %s (%v), want 5", len(got), p.Bookmark().Position, err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != int64(len(whole)-10) {
		t.Errorf("the journal has %d bytes now, had %d (%v)", info.Size(), len(whole)-10, err)
	}
	if err := p.Append(t.Context(), pieces(6, 6, 1)); err == nil {
		t.Error("a spool that was opened for reading took a piece")
	}
}

func TestPeekHoldsWhatIsReleasedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{JournalBytes: 1})
	add(t, s, piece(1, 100))
	add(t, s, piece(2, 100))
	p, err := Peek(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := s.Release(history.At(1, 2)); err != nil {
		t.Skipf("files that are open cannot be deleted here: %v", err)
	}
	if got, err := contents(p, history.Position{}); err != nil || len(got) != 2 {
		t.Errorf("after the release a peek shows %d pieces (%v), want 2", len(got), err)
	}
}

func TestPeekWhileJournalsComeAndGo(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{JournalBytes: 1, Sync: unsynced})
	add(t, s, piece(1, 50))
	var writing sync.WaitGroup
	stop := make(chan struct{})
	writing.Go(func() {
		for n := uint64(2); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := errors.Join(s.Append(t.Context(), pieces(n, n, 50)), s.Release(history.At(1, n-1))); err != nil {
				t.Error(err)
				return
			}
		}
	})
	before := history.Position{}
	for range 200 {
		p, err := Peek(dir)
		if err != nil {
			t.Errorf("peek: %v", err)
			break
		}
		at := p.Bookmark().Position
		if at.Before(before) {
			t.Errorf("a peek ends at %s, one before it at %s", at, before)
		}
		before = at
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	writing.Wait()
	if before.IsZero() {
		t.Error("no peek showed anything")
	}
}

func TestPeekWithoutASpool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	if _, err := Peek(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a peek made the folder")
	}
}
