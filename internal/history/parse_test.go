package history

import (
	"encoding/json"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.FixedZone("", 3600))

func TestParseTarget(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"latest", "latest"}, {" immediate ", "immediate"}, {"now", "2026-11-20T11:00:00Z"},
		{"2026-11-20T10:15:00Z", "2026-11-20T10:15:00Z"}, {"2026-11-20T10:15:00.123456+02:00", "2026-11-20T08:15:00.123456Z"},
		{"2026-11-20 10:15:00", "2026-11-20T09:15:00Z"}, {"2026-11-20", "2026-11-19T23:00:00Z"}, {"10:15", "2026-11-20T09:15:00Z"},
		{"10 minutes ago", "2026-11-20T10:50:00Z"}, {"1 hour 30 minutes ago", "2026-11-20T09:30:00Z"}, {"90s ago", "2026-11-20T10:58:30Z"},
		{"2026-11-20T10:15:00Z on timeline 3", "2026-11-20T10:15:00Z on timeline 3"},
		{"position:1/42", "position:1/42"}, {"position:3/5@0/5", "position:3/5@0/5"}, {"position:0/42", "position:0/42"},
		{"txid:42", "txid:42"}, {"before-txid:42", "before-txid:42"}, {"name:a:b", "name:a:b"},
		{"", "error"}, {"yesterday", "error"}, {"txid:", "error"}, {"position:x", "error"}, {"position:1/-1", "error"},
		{"12:15 on timeline 0", "error"}, {"x on timeline 1", "error"}, {"ten minutes ago", "error"}, {"-1 minutes ago", "error"},
	} {
		got := "error"
		if target, err := ParseTarget(c.in, noon); err == nil {
			got = target.String()
		}
		if got != c.want {
			t.Errorf("ParseTarget(%q) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestPositionOrder(t *testing.T) {
	ascending := []Position{{}, At(1, 0), At(1, 1), At(1, 2), At(2, 0), At(2, 1)}
	for i, p := range ascending {
		for j, q := range ascending {
			if p.Before(q) != (i < j) || p.Equal(q) != (i == j) {
				t.Errorf("%s against %s", p, q)
			}
		}
	}
	if !(Position{Timeline: 1, Seq: 2, Mark: "0/2"}).Equal(At(1, 2)) {
		t.Error("the mark takes part")
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"latest", "2026-11-20T10:15:00Z", "10 minutes ago", "position:1/42@x", "before-txid:9", "10:15 on timeline 7", "1e300 weeks ago"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := ParseTarget(s, noon)
		if err != nil {
			return
		}
		again, err := ParseTarget(target.String(), noon)
		if err != nil && target.Kind == AtTime && (target.Time.UTC().Year() > 9999 || target.Time.UTC().Year() < 0) {
			return // RFC 3339 has no such years.
		}
		if err != nil || again.String() != target.String() {
			t.Errorf("%q is read as %q and that as %q, %v", s, target, again, err)
		}
	})
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"1/42", "3/23846728@0/16BDF48", "0/0", "4294967295/18446744073709551615", "1/2@@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePosition(s)
		if err != nil {
			return
		}
		if q, err := ParsePosition(p.String()); err != nil || q != p {
			t.Errorf("%q is read as %#v and that as %#v, %v", s, p, q, err)
		}
		// JSON replaces what is not UTF-8; a mark never holds such bytes.
		if b, err := json.Marshal(p); err != nil || len(b) == 0 {
			t.Errorf("marshal %#v: %v", p, err)
		}
	})
}
