package shop

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTillAndBeat(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "shop.db")
	if err := Create(ctx, path, 1<<20, 1); err != nil {
		t.Fatal(err)
	}
	till, err := OpenTill(ctx, path, 1)
	if err != nil {
		t.Fatal(err)
	}
	for want := uint64(1); want <= 3; want++ {
		beat, begun, done, err := till.Sell(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if beat != want || !done.After(begun) {
			t.Errorf("got beat %d from %v to %v, want %d", beat, begun, done, want)
		}
	}
	if err := till.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := Beat(ctx, path); err != nil || n != 3 {
		t.Errorf("got beat %d, %v, want 3", n, err)
	}
}

func TestFindBeatTakesTheHighest(t *testing.T) {
	page := bytes.Join([][]byte{make([]byte, 100), mark(41), {7}, mark(42), mark(40)[:20]}, nil)
	if n, ok := FindBeat(page); !ok || n != 42 {
		t.Errorf("got %d, %v, want 42", n, ok)
	}
	if _, ok := FindBeat(make([]byte, 4096)); ok {
		t.Error("found a beat in an empty page")
	}
}

func TestLedgerComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l, err := CreateLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 123_456_789)
	want := []Sale{
		{Beat: 1, Due: now, Begun: now.Add(1), Done: now.Add(2)},
		{Beat: 2, Due: now.Add(3), Begun: now.Add(4), Done: now.Add(5)},
	}
	for _, s := range want {
		if err := l.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
