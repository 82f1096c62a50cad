package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestNext reads testdata/next: an expression and a moment, below it the moments that follow.
func TestNext(t *testing.T) {
	for _, c := range blocks(t, "testdata/next.txt") {
		t.Run(c.name, func(t *testing.T) {
			var timing Timing
			var at time.Time
			for _, l := range c.facts {
				key, value, _ := strings.Cut(l, " ")
				switch key {
				case "expr":
					timing.Expr = mustParse(t, value)
				case "prefer":
					timing.Hours.Prefer = mustWindows(t, value)
				case "forbid":
					timing.Hours.Forbid = mustWindows(t, value)
				case "key":
					timing.Key = value
				case "after":
					at = parseMoment(t, value)
				default:
					t.Fatalf("unknown fact %q", l)
				}
			}
			var got []string
			for range c.below {
				at = timing.Next(at)
				if at.IsZero() {
					got = append(got, "never")
					break
				}
				got = append(got, at.Format("Mon 2006-01-02 15:04:05 MST"))
			}
			c.compare(t, got)
		})
	}
}

// TestParseErrors reads testdata/errors: an expression, and what is said about it.
func TestParseErrors(t *testing.T) {
	for _, c := range blocks(t, "testdata/errors.txt") {
		t.Run(c.name, func(t *testing.T) {
			var err error
			key, value, _ := strings.Cut(c.facts[0], " ")
			value = strings.Trim(value, `"`)
			if key == "hours" {
				_, err = ParseWindows(value)
			} else {
				_, err = Parse(value)
			}
			var parse *ExprError
			if !errors.As(err, &parse) || parse.Hint() == "" {
				t.Fatalf("%q gave %v", value, err)
			}
			c.compare(t, []string{err.Error()})
		})
	}
}

// TestWindows reads testdata/hours.txt: hours and moments, below them when those end.
func TestWindows(t *testing.T) {
	for _, c := range blocks(t, "testdata/hours.txt") {
		t.Run(c.name, func(t *testing.T) {
			var w Windows
			var got []string
			for _, l := range c.facts {
				key, value, _ := strings.Cut(l, " ")
				if key == "hours" {
					w = mustWindows(t, value)
					continue
				}
				at := parseMoment(t, value)
				switch until := w.Until(at); {
				case until.IsZero():
					got = append(got, "inside for ever")
				case !w.Contains(at):
					got = append(got, "outside")
				default:
					got = append(got, "inside until "+until.Format("Mon 2006-01-02 15:04 MST"))
				}
			}
			c.compare(t, got)
		})
	}
}

func TestExprPrintsAsItIsRead(t *testing.T) {
	for text, want := range map[string]string{
		" Daily  AT 02:30  Europe/Berlin ": "daily at 02:30 Europe/Berlin",
		"MON,thu at 3:00":                  "mon,thu at 3:00",
		"every 90M":                        "every 90m",
		"0 3 * * SUN#1 UTC":                "0 3 * * sun#1 UTC",
	} {
		e := mustParse(t, text)
		if e.String() != want {
			t.Errorf("%q prints as %q, want %q", text, e, want)
		}
		var back struct{ E, Zero Expr }
		data, err := json.Marshal(struct{ E, Zero Expr }{E: e})
		if err == nil {
			err = json.Unmarshal(data, &back)
		}
		if err != nil || !back.E.Equal(e) || !back.Zero.IsZero() {
			t.Errorf("%s came back as %v, %v", data, back, err)
		}
	}
	if !(Expr{}).Next(time.Now()).IsZero() {
		t.Error("the zero Expr is due")
	}
}

var zoneNames = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "America/Sao_Paulo", "Africa/Casablanca", "America/St_Johns"}

func drawExpr(t *rapid.T) string {
	clock := rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("%02d:%02d", rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute"))
	})
	day := rapid.SampledFrom([]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun", "fri-mon"})
	field := func(low, high int) *rapid.Generator[string] {
		return rapid.OneOf(rapid.Just("*"), rapid.Map(rapid.IntRange(low, high), func(n int) string { return fmt.Sprint(n) }), rapid.Just("*/5"))
	}
	switch rapid.IntRange(0, 4).Draw(t, "family") {
	case 0:
		return rapid.SampledFrom([]string{"daily", "weekly", "monthly", "mon,thu", "hourly", "every 7h", "every 1m", "every 2d"}).Draw(t, "words")
	case 1:
		return "daily at " + clock.Draw(t, "clock") + "," + clock.Draw(t, "clock")
	case 2:
		return day.Draw(t, "day") + "," + day.Draw(t, "day") + " at " + clock.Draw(t, "clock")
	case 3:
		return rapid.SampledFrom([]string{"weekly at ", "monthly at "}).Draw(t, "words") + clock.Draw(t, "clock")
	default:
		return strings.Join([]string{field(0, 59).Draw(t, "minute"), field(0, 23).Draw(t, "hour"), field(1, 28).Draw(t, "dom"), field(1, 12).Draw(t, "month"), "*"}, " ")
	}
}

func drawTiming(t *rapid.T) (Timing, *time.Location) {
	zone, err := time.LoadLocation(rapid.SampledFrom(zoneNames).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := Parse(drawExpr(t))
	if err != nil {
		t.Fatal(err)
	}
	g := Timing{Expr: e, Key: rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "key")}
	windows := func(texts ...string) Windows {
		w, err := ParseWindows(rapid.SampledFrom(texts).Draw(t, "windows"))
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if rapid.Bool().Draw(t, "hours") {
		g.Hours = Hours{Prefer: windows("22:00-04:00", "sat,sun", "mon 01:00-03:00; wed 23:00-01:00", "01:30-03:30 Europe/Berlin"), Forbid: windows("mon-fri 08:00-18:00", "23:00-23:30", "02:00-03:00 America/New_York")}
	}
	return g, zone
}

// TestNextIsAfterAndSteady: Next grows, skips nothing between two answers, and says the same from anywhere between them.
func TestNextIsAfterAndSteady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, zone := drawTiming(t)
		for range 10 {
			at := time.Unix(rapid.Int64Range(1262304000, 1893456000).Draw(t, "at"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).In(zone) // 2010 to 2030
			first := g.Next(at)
			second := g.Next(first)
			if !first.After(at) || !second.After(first) {
				t.Fatalf("%s: %v, then %v, then %v", g.Expr, at, first, second)
			}
			share := func(d time.Duration) time.Duration {
				return min(d-1, time.Duration(rapid.Float64Range(0, 1).Draw(t, "share")*float64(d)))
			}
			if early := at.Add(share(first.Sub(at))); !g.Next(early).Equal(first) {
				t.Fatalf("%s: after %v comes %v, but after %v %v", g.Expr, at, first, early, g.Next(early))
			}
			if between := first.Add(share(second.Sub(first))); !g.Next(between).Equal(second) {
				t.Fatalf("%s: after %v comes %v, but after %v %v", g.Expr, first, second, between, g.Next(between))
			}
		}
	})
}

// TestNextShowsItsWallTime: on clocks of its zone a cron time is what its fields say, unless clocks changed right then.
func TestNextShowsItsWallTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zoneNames).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		hour, minute := rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute")
		e, err := Parse(fmt.Sprintf("%d %d * * *", minute, hour))
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(rapid.Int64Range(1262304000, 1893456000).Draw(t, "at"), 0).In(zone)
		days := map[string]int{}
		for range 400 {
			next := e.Next(at)
			start, _ := next.ZoneBounds()
			if (next.Hour() != hour || next.Minute() != minute) && !next.Equal(start) {
				t.Fatalf("%s after %v: %v", e, at, next)
			}
			if gap := next.Sub(at); gap > 26*time.Hour {
				t.Fatalf("%s: nothing from %v to %v", e, at, next)
			}
			if day := next.Format(time.DateOnly); days[day] > 0 && !next.Add(-24*time.Hour).Before(start) {
				t.Fatalf("%s: twice on %s", e, day)
			} else {
				days[day]++
			}
			at = next
		}
	})
}

// TestSpread: 2,000 keys fill the preferred hours evenly, and each keeps its place from day to day.
func TestSpread(t *testing.T) {
	g := Timing{Expr: mustParse(t, "daily"), Hours: Hours{Prefer: mustWindows(t, "22:00-04:00 Europe/Berlin"), Forbid: mustWindows(t, "23:00-00:00 Europe/Berlin")}}
	day := parseMoment(t, "2026-11-20 12:00 Europe/Berlin")
	var hours [24]int
	for i := range 2000 {
		g.Key = fmt.Sprintf("db%d base/full", i)
		at := g.Next(day)
		hours[at.Hour()]++
		if again := g.Next(at); again.Sub(at) != 24*time.Hour {
			t.Fatalf("%s: %v, then %v", g.Key, at, again)
		}
	}
	for h, n := range hours {
		allowed := h == 22 || h < 4
		if allowed && (n < 320 || n > 480) || !allowed && n > 0 {
			t.Errorf("%d of 2000 in hour %d: %v", n, h, hours)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"testdata/next.txt", "testdata/errors.txt"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, l := range strings.Split(string(data), "\n") {
			if _, text, ok := strings.Cut(l, " "); ok {
				f.Add(text)
			}
		}
	}
	now := time.Date(2026, 3, 29, 0, 30, 0, 1, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		if e, err := Parse(text); err == nil {
			again, err := Parse(e.String())
			if err != nil || again.String() != e.String() || !again.Next(now).Equal(e.Next(now)) {
				t.Fatalf("%q prints as %q, which is %q, %v", text, e, again, err)
			}
			if next := e.Next(now); !next.After(now) {
				t.Fatalf("%q is due at %v after %v", text, next, now)
			}
		}
		if w, err := ParseWindows(text); err == nil {
			again, err := ParseWindows(w.String())
			if err != nil || again.String() != w.String() || !reflect.DeepEqual(again.begins, w.begins) {
				t.Fatalf("%q prints as %q, which is %q, %v", text, w, again, err)
			}
			if until := w.Until(now); w.Contains(now) != !until.Equal(now) || !until.IsZero() && w.Contains(until) {
				t.Fatalf("%q: contains %v %v, until %v", text, now, w.Contains(now), until)
			}
		}
	})
}
