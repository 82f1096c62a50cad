package history

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what was computed below the line of each table")

// TestTables reads testdata/history: facts and questions above the line, windows, gaps and chains below it.
func TestTables(t *testing.T) {
	files, err := filepath.Glob("testdata/history/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			facts, want, ok := strings.Cut(string(text), "----\n")
			if !ok {
				t.Fatal("no line of four dashes")
			}
			h, targets := parseFacts(t, facts)
			got := render(h, targets)
			if *update {
				if err := os.WriteFile(file, []byte(facts+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("below the line (-want +got):\n%s", d)
			}
		})
	}
}

// parseFacts reads lines such as "base b1 1/10 10:00" and "segment s1 1/10..1/20 10:00..10:05".
func parseFacts(t *testing.T, text string) (h History, targets []string) {
	t.Helper()
	h.Source = "shop"
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "base":
			start, stop := span(t, f[2])
			since, until := moments(t, f[3])
			h.Bases = append(h.Bases, Base{ID: f[1], Type: Full, Start: start, Stop: stop, StartTime: since, StopTime: until})
		case "segment", "tip":
			from, to := span(t, f[2])
			since, until := moments(t, f[3])
			h.Segments = append(h.Segments, Segment{Name: f[1], From: from, To: to, Since: since, Until: until, Tip: f[0] == "tip"})
		case "fork":
			at, _ := span(t, f[3])
			var child uint32
			if _, err := fmt.Sscan(f[1], &child); err != nil {
				t.Fatal(err)
			}
			h.Forks = append(h.Forks, Fork{Child: child, At: at})
		case "gap":
			from, to := span(t, f[1])
			since, until := moments(t, f[2])
			h.Gaps = append(h.Gaps, Gap{From: from, To: to, Since: since, Until: until, Reason: strings.Join(f[3:], " ")})
		case "whole":
			at, _ := span(t, f[1])
			_, until := moments(t, f[2])
			h.Whole = Moment{Position: at, Time: until}
		case "to":
			targets = append(targets, strings.Join(f[1:], " "))
		default:
			t.Fatalf("unknown fact %q", line)
		}
	}
	return h, targets
}

func span(t *testing.T, s string) (from, to Position) {
	t.Helper()
	a, b, two := strings.Cut(s, "..")
	if !two {
		b = a
	}
	from, err1 := ParsePosition(a)
	to, err2 := ParsePosition(b)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return from, to
}

// tableDay is the day on which all tables play.
var tableDay = time.Date(2026, 11, 20, 23, 59, 0, 0, time.UTC)

func moments(t *testing.T, s string) (since, until time.Time) {
	t.Helper()
	a, b, two := strings.Cut(s, "..")
	if !two {
		b = a
	}
	return moment(t, a), moment(t, b)
}

func moment(t *testing.T, s string) time.Time {
	t.Helper()
	if s == "?" {
		return time.Time{}
	}
	target, err := ParseTarget(s, tableDay)
	if err != nil || target.Kind != AtTime {
		t.Fatalf("not a time: %q", s)
	}
	return target.Time
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return t.Format("15:04:05")
}

func render(h History, targets []string) string {
	var b strings.Builder
	for _, w := range h.Windows() {
		kind := "window"
		if w.Abandoned {
			kind = "abandoned"
		}
		fmt.Fprintf(&b, "%s %s  %s..%s  %s..%s\n", kind, w.Base, w.Start, w.End, clock(w.Since), clock(w.Until))
	}
	for _, g := range h.AllGaps() {
		fmt.Fprintf(&b, "gap  %s..%s  %s..%s  %s\n", g.From, g.To, clock(g.Since), clock(g.Until), g.Reason)
	}
	for _, s := range targets {
		fmt.Fprintf(&b, "to %s: %s\n", s, renderChain(h, s))
	}
	return b.String()
}

func renderChain(h History, s string) string {
	target, err := ParseTarget(s, tableDay)
	if err != nil {
		return "error: " + err.Error()
	}
	c, err := h.Chain(target)
	if unreachable, ok := errors.AsType[*UnreachableError](err); ok {
		return "unreachable" + near(" before ", unreachable.Before) + near(" after ", unreachable.After) + paren(unreachable.Reason)
	}
	if err != nil {
		return "error: " + err.Error()
	}
	words := []string{c.Base.ID}
	for _, s := range c.Segments {
		words = append(words, s.Name)
	}
	for _, f := range c.Forks {
		words = append(words, fmt.Sprintf("fork %d at %s", f.Child, f.At))
	}
	if !c.Stop.IsZero() {
		words = append(words, "stop "+c.Stop.String())
	}
	return strings.Join(append(words, "until "+clock(c.Until)), ", ")
}

func near(word string, m *Moment) string {
	if m == nil {
		return ""
	}
	return word + m.Position.String() + " " + clock(m.Time)
}

func paren(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}
