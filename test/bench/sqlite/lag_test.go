package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/test/bench/sqlite/shop"
)

func TestLagIsFromTheCommitToItsFirstSight(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	sales := []shop.Sale{{Beat: 1, Done: at(10)}, {Beat: 2, Done: at(20)}, {Beat: 3, Done: at(30)}}
	got, err := lagOf(sales, []sighting{{0, at(0)}, {2, at(100)}, {3, at(250)}})
	if err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{90 * time.Millisecond, 80 * time.Millisecond, 220 * time.Millisecond}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := lagOf(sales, []sighting{{2, at(100)}}); err == nil {
		t.Error("a commit that was never seen has a lag")
	}
}

func TestWholePosition(t *testing.T) {
	const signed = "backstay/v0 shop\n3\nroot\nnumber 2\ntime 2026-11-21T10:45:02.000000Z\nwhole 1/9042 2026-11-21T10:45:02.1Z\ntip {}\n\n- key sig\n\n"
	p, ok, err := wholePosition([]byte(signed))
	if err != nil || !ok || p != history.At(1, 9042) {
		t.Errorf("got %v, %v, %v, want 1/9042", p, ok, err)
	}
	if _, ok, err := wholePosition([]byte("backstay/v0 shop\n\nwhole 1/1 in a leaf\n")); ok || err != nil {
		t.Errorf("found a position behind the signed text: %v, %v", ok, err)
	}
	if _, _, err := wholePosition([]byte("whole nonsense\n\n")); err == nil {
		t.Error("a position that cannot be read is no error")
	}
}
