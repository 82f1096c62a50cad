package spool

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

func TestTornEndIsCutAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{})
	add(t, s, pieces(1, 3, 40)...)
	whole := s.Stats().Bytes
	add(t, s, pieces(4, 6, 40)...) // the batch that tears
	end := s.Stats().Bytes
	for cut := whole; cut < end; cut += stride(7) {
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
		for at := 0; at < len(raw); at += int(stride(7)) {
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
