package notify

import (
	"testing"
	"time"
)

func TestHours(t *testing.T) {
	for _, c := range []struct {
		hours, at string
		want      bool
	}{
		{"22:00-07:00 UTC", "2026-03-02T21:59:59Z", false},
		{"22:00-07:00 UTC", "2026-03-02T22:00:00Z", true},
		{"22:00-07:00 UTC", "2026-03-03T06:59:59Z", true},
		{"22:00-07:00 UTC", "2026-03-03T07:00:00Z", false},
		{"22:00-07:00 Europe/Berlin", "2026-03-02T21:00:00Z", true},
		{"22:00-07:00 Europe/Berlin", "2026-07-02T20:00:00Z", true},
		{"02:00-03:00 Europe/Berlin", "2026-03-29T01:30:00Z", false}, // skipped by the clocks
		{"fri 20:00-08:00 UTC", "2026-03-07T07:00:00Z", true},        // Saturday: it began on Friday
		{"fri 20:00-08:00 UTC", "2026-03-06T07:00:00Z", false},
		{"sat,sun 00:00-24:00 UTC", "2026-03-08T23:59:00Z", true},
		{"sat,sun 00:00-24:00 UTC", "2026-03-09T00:00:00Z", false},
		{"fri-mon 12:00-13:00 UTC", "2026-03-08T12:00:00Z", true},
		{"fri-mon 12:00-13:00 UTC", "2026-03-10T12:00:00Z", false},
		{"", "2026-03-10T12:00:00Z", false},
	} {
		h, err := ParseHours(c.hours)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Contains(at); got != c.want {
			t.Errorf("%q contains %s: %v", c.hours, c.at, got)
		}
	}
	for _, bad := range []string{"22-7", "22:00", "24:00-07:00", "22:00-25:00", "22:60-07:00", "22:00-07:00 Nowhere/Here", "xxx 22:00-07:00", "mon", "mon 22:00-07:00 UTC x", "-1:00-07:00"} {
		if h, err := ParseHours(bad); err == nil {
			t.Errorf("%q was read as %v", bad, h)
		}
	}
}

func FuzzParseHours(f *testing.F) {
	for _, seed := range []string{"", "22:00-07:00", "mon-fri 22:00-07:00 Europe/Berlin", "sat,sun 00:00-24:00", "fri-mon 1-2"} {
		f.Add(seed)
	}
	at := time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHours(text)
		if err != nil {
			return
		}
		again, err := ParseHours(h.String())
		if err != nil || again.Contains(at) != h.Contains(at) || again.String() != h.String() {
			t.Fatalf("%q prints as %q, which is read as %v, %v", text, h, again, err)
		}
	})
}
