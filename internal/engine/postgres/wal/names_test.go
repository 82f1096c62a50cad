package wal

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLSN(t *testing.T) {
	for s, want := range map[string]LSN{"0/16B3748": 0x16B3748, "0/0": 0, "FFFFFFFF/FFFFFFFF": 1<<64 - 1, "1A/B": 0x1A0000000B} {
		got, err := ParseLSN(s)
		if err != nil || got != want || got.String() != s {
			t.Errorf("%s: %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "/", "0", "0/", "/0", "0/100000000", "-1/0", "0/+1", "g/0", "0/0/0"} {
		if got, err := ParseLSN(s); err == nil {
			t.Errorf("%q was read as %s", s, got)
		}
	}
}

func TestSegmentNames(t *testing.T) {
	for _, c := range []struct {
		timeline uint32
		at       LSN
		size     uint64
		name     string
	}{
		{1, 0x16B3748, 16 << 20, "000000010000000000000001"},
		{0x2A, 0x1A_FF000000, 16 << 20, "0000002A0000001A000000FF"},
		{1, 0x1_00000000, 1 << 30, "000000010000000100000000"},
		{1, 0x1_FFFFFFFF, 1 << 20, "000000010000000100000FFF"},
	} {
		if got := SegmentName(c.timeline, c.at, c.size); got != c.name {
			t.Errorf("segment of %s: %s, want %s", c.at, got, c.name)
		}
		timeline, start, err := ParseSegmentName(c.name, c.size)
		if err != nil || timeline != c.timeline || start != c.at.SegmentStart(c.size) {
			t.Errorf("%s: timeline %d at %s, %v", c.name, timeline, start, err)
		}
	}
	for _, name := range []string{"", "00000001000000000000000G", "000000010000000000000100", "0000000100000000000000011", "00000002.history", "00000001000000000000000a"} {
		if _, _, err := ParseSegmentName(name, 16<<20); err == nil {
			t.Errorf("%q was taken for a segment", name)
		}
	}
	if n, err := ParseHistoryName("0000002A.history"); err != nil || n != 0x2A || HistoryName(n) != "0000002A.history" {
		t.Errorf("history file of timeline %d, %v", n, err)
	}
}

func TestHistory(t *testing.T) {
	text := "# comment\n1\t0/3000148\tno recovery target specified\n\n3\t0/5000000\tbefore 2026-11-20 10:00:00+00\n"
	h, err := ParseHistory(4, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseHistory(4, h.Format())
	if err != nil || !cmp.Equal(h, again) {
		t.Errorf("read back as %+v, %v", again, err)
	}
	for _, c := range []struct {
		timeline uint32
		at       LSN
		next     uint32
		ok       bool
	}{{1, 0x3000148, 3, true}, {3, 0x5000000, 4, true}, {2, 0, 0, false}, {4, 0, 0, false}} {
		if at, next, ok := h.Left(c.timeline); at != c.at || next != c.next || ok != c.ok {
			t.Errorf("timeline %d was left at %s for %d, %t", c.timeline, at, next, ok)
		}
	}
	for at, want := range map[LSN]uint32{0: 1, 0x3000147: 1, 0x3000148: 3, 0x5000000: 4} {
		if got := h.Holds(at); got != want {
			t.Errorf("%s lies on timeline %d, want %d", at, got, want)
		}
	}
	for _, bad := range []string{"1", "x\t0/1", "1\t0", "2\t0/1\n1\t0/2", "1\t0/2\n2\t0/1", "4\t0/1", "0\t0/1"} {
		if _, err := ParseHistory(4, []byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func FuzzParseHistory(f *testing.F) {
	f.Add(uint32(3), []byte("1\t0/3000148\tno recovery target specified\n2\t0/5000000\t\n"))
	f.Fuzz(func(t *testing.T, timeline uint32, b []byte) {
		h, err := ParseHistory(timeline, b)
		if err != nil {
			return
		}
		again, err := ParseHistory(timeline, h.Format())
		if err != nil || !cmp.Equal(h, again) {
			t.Fatalf("%+v was read back as %+v, %v", h, again, err)
		}
	})
}

func TestTime(t *testing.T) {
	if got := Time(0); !got.Equal(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("stamp 0 is %s", got)
	}
	if now := time.Now().Truncate(time.Microsecond); !Time(Stamp(now)).Equal(now) {
		t.Errorf("%s came back as %s", now, Time(Stamp(now)))
	}
}
