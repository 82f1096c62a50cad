package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var day = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

func drawFacts(t *rapid.T, now time.Time) Facts {
	ago := func(name string) time.Time {
		return now.Add(-time.Duration(rapid.IntRange(0, 100_000).Draw(t, name)) * time.Second)
	}
	trouble := func() Trouble {
		if rapid.IntRange(0, 3).Draw(t, "well") > 0 {
			return Trouble{}
		}
		return Trouble{Text: "denied", Since: ago("since")}
	}
	f := Facts{Source: "orders", Protected: day.AddDate(0, -1, 0), Trouble: trouble()}
	for _, name := range []string{"local", "offsite"}[:rapid.IntRange(0, 2).Draw(t, "repositories")] {
		f.Repositories = append(f.Repositories, Repository{Name: name, Lag: time.Duration(rapid.IntRange(0, 30).Draw(t, "lag")) * time.Second, Trouble: trouble(), Checked: ago("checked")})
	}
	f.Drills = append(f.Drills, DrillRun{Time: ago("drill"), Verdict: rapid.SampledFrom([]Verdict{Proved, BackupBad, EnvironmentBad}).Draw(t, "verdict")})
	f.Spool = Room{Bytes: int64(rapid.IntRange(0, 120).Draw(t, "spool")), Limit: 100, Rate: float64(rapid.IntRange(-1, 1).Draw(t, "rate"))}
	f.Jobs = []Job{{Name: "base", Due: ago("due")}}
	return f
}

// TestOverTime judges facts that change at random: what is found is repeatable, carries words, is told only after it lasted,
// and nothing is remembered for ever.
func TestOverTime(t *testing.T) {
	o := Objectives{RPO: 5 * time.Second, DrillAge: 12 * time.Hour, CheckAge: 6 * time.Hour, Copies: 1}
	rapid.Check(t, func(t *rapid.T) {
		var m Memory
		now := day
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "step")) * time.Second)
			f := drawFacts(t, now)
			findings, next := Judge(o, f, m, now)
			again, after := Judge(o, f, next, now)
			if d := cmp.Diff(findings, again); d != "" {
				t.Fatalf("judged again (-first +again):\n%s", d)
			}
			if d := cmp.Diff(next, after); d != "" {
				t.Fatalf("remembered again (-first +again):\n%s", d)
			}
			for _, finding := range findings {
				if finding.Reason == "" || finding.Do == "" || finding.Source != "orders" || finding.Since.After(now) || finding.Since.IsZero() {
					t.Fatalf("finding %+v", finding)
				}
				if e, ok := next[finding.Key()]; !ok || !e.Told {
					t.Fatalf("%s is told and not remembered", finding.Key())
				}
			}
			m = next
		}
		well := Facts{Source: "orders", Protected: now, Drills: []DrillRun{{Time: now.Add(time.Hour), Verdict: Proved}}}
		for range 2 {
			now = now.Add(time.Hour)
			if _, m = Judge(o, well, m, now); len(m) == 0 {
				return
			}
		}
		t.Fatalf("all is well for two hours, and this is remembered: %+v", m)
	})
}

// TestForecast: more bytes never take less time, and the bounds hold what is expected.
func TestForecast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var drills []DrillRun
		for range rapid.IntRange(0, 12).Draw(t, "drills") {
			drills = append(drills, DrillRun{Time: day.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "at")) * time.Hour), Verdict: Proved, Timing: Timing{
				LaidBytes: rapid.Int64Range(0, 1<<40).Draw(t, "laid"), LogBytes: rapid.Int64Range(0, 1<<40).Draw(t, "log"),
				LaySeconds: rapid.Float64Range(0, 1e5).Draw(t, "lay"), FetchSeconds: rapid.Float64Range(0, 1e4).Draw(t, "fetch"),
				ReplaySeconds: rapid.Float64Range(0, 1e5).Draw(t, "replay"), StartSeconds: rapid.Float64Range(0, 100).Draw(t, "start")}})
		}
		r := Restore{LayBytes: rapid.Int64Range(0, 1<<45).Draw(t, "base"), LogBytes: rapid.Int64Range(0, 1<<45).Draw(t, "behind"), LogRate: rapid.Float64Range(-1, 1e9).Draw(t, "grows")}
		f := NewForecast(drills, r)
		if f.Low > f.Expected || f.Expected > f.High || f.Expected < 0 || f.Growth < 0 {
			t.Fatalf("%+v", f)
		}
		more := r
		more.LogBytes *= 2
		if g := NewForecast(drills, more); g.Expected < f.Expected || g.High < f.High {
			t.Fatalf("twice the log takes %s (at most %s), less than %s (at most %s)", g.Expected, g.High, f.Expected, f.High)
		}
		limit := f.Expected + time.Hour
		if at, ok := f.Breaks(limit, day); ok {
			grown := r
			grown.LogBytes += int64(r.LogRate * at.Sub(day).Seconds())
			if got := NewForecast(drills, grown).Expected; !f.Guessed && (got-limit).Abs() > limit/50+time.Second {
				t.Fatalf("breaks at %s with %s, limit %s", at, got, limit)
			}
		}
	})
}

// TestForecastOfAKnownMachine: drills of one machine foretell what it takes for other sizes.
func TestForecastOfAKnownMachine(t *testing.T) {
	run := func(laid, log float64) Timing { // 200 MB/s, 30 MB/s, 5 s to start
		return Timing{LaidBytes: int64(laid * 1e9), LogBytes: int64(log * 1e9), LaySeconds: laid * 5, FetchSeconds: log, ReplaySeconds: log * 33, StartSeconds: 5}
	}
	var drills []DrillRun
	for i, size := range [][2]float64{{80, 1}, {90, 4}, {100, 2}, {100, 8}} {
		drills = append(drills, DrillRun{Time: day.AddDate(0, 0, i), Verdict: Proved, Timing: run(size[0], size[1])})
	}
	f := NewForecast(drills, Restore{LayBytes: 110e9, LogBytes: 6e9})
	if want := seconds(run(110, 6).seconds()); (f.Expected - want).Abs() > want/50 {
		t.Errorf("expected %s, takes %s", f.Expected, want)
	}
	if f.Guessed || f.Drills != 4 || f.High > f.Expected*5/4 {
		t.Errorf("%+v", f)
	}
}
