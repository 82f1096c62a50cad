package retention

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/history"
)

var update = flag.Bool("update", false, "write what was decided below the line of each table")

// TestTables reads testdata/retention: rules and facts above the line, the decision below it.
func TestTables(t *testing.T) {
	files, err := filepath.Glob("testdata/retention/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			above, want, ok := strings.Cut(string(text), "----\n")
			if !ok {
				t.Fatal("no line of four dashes")
			}
			table := parseTable(t, above)
			got := table.render()
			if *update {
				if err := os.WriteFile(file, []byte(above+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("below the line (-want +got):\n%s", d)
			}
			requireSound(t, table.h, table.rules, table.facts, table.now)
		})
	}
}

// table is what stands above the line.
type table struct {
	t     *testing.T
	h     history.History
	rules Rules
	facts Facts
	now   time.Time
}

func parseTable(t *testing.T, text string) *table {
	t.Helper()
	x := &table{t: t, h: history.History{Source: "shop"}}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		var words []string
		options := map[string]string{}
		for _, f := range strings.Fields(line) {
			if key, value, ok := strings.Cut(f, "="); ok {
				options[key] = strings.ReplaceAll(value, "_", " ")
			} else {
				words = append(words, f)
			}
		}
		if len(words) > 0 {
			x.fact(words, options)
		}
	}
	return x
}

func (x *table) fact(words []string, options map[string]string) {
	switch words[0] {
	case "now":
		x.now = x.time(words[1])
	case "keep":
		x.keep(options)
	case "hold":
		h := Hold{By: words[1], Reason: options["reason"]}
		for key, at := range map[string]*time.Time{"until": &h.End, "from": &h.From, "to": &h.To} {
			if options[key] != "" {
				*at = x.time(options[key])
			}
		}
		x.rules.Holds = append(x.rules.Holds, h)
	case "base":
		x.base(words[1], words[2], words[3], options)
	case "bases": // bases 1/0 2026-01-01T03:00 n=400 every=24h step=10
		at, from := x.position(words[1]), x.time(words[2])
		for i := range x.number(options["n"]) {
			at, from := history.At(at.Timeline, at.Seq+uint64(i*x.number(options["step"]))), from.Add(time.Duration(i)*x.span(options["every"]))
			x.base(from.Format("0102"), at.String(), from.Format("2006-01-02T15:04"), options)
		}
	case "log":
		x.log(words[1], words[2], words[3], options)
	case "fork":
		x.h.Forks = append(x.h.Forks, history.Fork{Child: uint32(x.number(words[1])), At: x.position(words[3])})
	case "proof":
		x.facts.Proofs = append(x.facts.Proofs, Proof{Base: words[1], Time: x.time(words[2]), Report: options["report"]})
	case "damaged":
		x.facts.Damaged = append(x.facts.Damaged, words[1])
	case "claim":
		x.facts.Claims = append(x.facts.Claims, Claim{Base: words[1], By: options["by"], Until: x.time(words[2])})
	case "report":
		x.facts.Reports = append(x.facts.Reports, DrillReport{Name: "report/" + words[1], Time: x.time(words[2]), Bytes: 1000})
	default:
		x.t.Fatalf("unknown fact %q", words)
	}
}

func (x *table) keep(options map[string]string) {
	r := &x.rules
	for key, value := range options {
		counts := map[string]*int{"last": &r.Last, "daily": &r.Daily, "weekly": &r.Weekly, "monthly": &r.Monthly, "yearly": &r.Yearly, "minimum": &r.Minimum}
		switch {
		case counts[key] != nil:
			*counts[key] = x.number(value)
		case key == "window":
			r.Window = x.span(value)
		case key == "reports":
			r.Reports = x.span(value)
		case key == "log":
			r.Log = Log(value)
		case key == "zone":
			zone, err := time.LoadLocation(value)
			if err != nil {
				x.t.Fatal(err)
			}
			r.Zone = zone
		default:
			x.t.Fatalf("unknown rule %q", key)
		}
	}
}

func (x *table) base(id, at, stop string, options map[string]string) {
	start, end, two := strings.Cut(at, "..")
	if !two {
		end = start
	}
	b := history.Base{ID: id, Type: history.Full, Parent: options["on"], SystemID: options["system"], Start: x.position(start), Stop: x.position(end),
		StartTime: x.time(stop), StopTime: x.time(stop), StoredBytes: 1 << 30}
	if b.Parent != "" {
		b.Type, b.StoredBytes = history.Incremental, 1<<26
	}
	x.h.Bases = append(x.h.Bases, b)
}

// log makes n segments of equal size and length.
func (x *table) log(span, since, until string, options map[string]string) {
	a, b, _ := strings.Cut(span, "..")
	from, to, first, last := x.position(a), x.position(b), x.time(since), x.time(until)
	n := uint64(max(1, x.number(options["n"])))
	step, age := (to.Seq-from.Seq)/n, last.Sub(first)/time.Duration(n)
	for i := range n {
		s := history.Segment{From: history.At(to.Timeline, from.Seq+i*step), To: history.At(to.Timeline, from.Seq+(i+1)*step),
			Since: first.Add(time.Duration(i) * age), Until: first.Add(time.Duration(i+1) * age), StoredBytes: 64 << 20, Tip: options["tip"] != ""}
		if i == 0 {
			s.From = from
		}
		s.Name = fmt.Sprintf("log/%d/%d-%d", s.To.Timeline, s.From.Seq, s.To.Seq)
		x.h.Segments = append(x.h.Segments, s)
	}
}

func (x *table) position(s string) history.Position {
	p, err := history.ParsePosition(s)
	if err != nil {
		x.t.Fatal(err)
	}
	return p
}

func (x *table) time(s string) time.Time {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	x.t.Fatalf("not a time: %q", s)
	return time.Time{}
}

func (x *table) number(s string) int {
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		x.t.Fatal(err)
	}
	return n
}

func (x *table) span(s string) time.Duration {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		return time.Duration(x.number(days)) * 24 * time.Hour
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		x.t.Fatal(err)
	}
	return d
}

func (x *table) render() string {
	d := Decide(x.h, x.rules, x.facts, x.now)
	var b strings.Builder
	fmt.Fprintln(&b, d.Summary)
	renderItems(&b, "keep", d.Keep)
	for _, l := range d.Log {
		holder := "for " + l.Base
		if l.Base == "" {
			holder = "though no base reaches it"
		}
		fmt.Fprintf(&b, "keep log %s..%s  %s..%s  %s\n", l.From, l.To, l.Since.Format("01-02 15:04"), l.Until.Format("01-02 15:04"), holder)
	}
	renderItems(&b, "drop", d.Drop)
	for _, w := range x.h.Windows() {
		renderWindow(&b, "before", w)
	}
	for _, w := range without(x.h, d).Windows() {
		renderWindow(&b, "after", w)
	}
	return b.String()
}

func renderItems(b *strings.Builder, verb string, items []Item) {
	for _, item := range items {
		fmt.Fprintf(b, "%s %s  %s  %s\n", verb, item.Name, item.Time.Format("2006-01-02 15:04"), strings.Join(item.Why, "; "))
	}
}

func renderWindow(b *strings.Builder, when string, w history.Window) {
	kind := "window"
	if w.Abandoned {
		kind = "abandoned window"
	}
	fmt.Fprintf(b, "%s: %s %s..%s  %s..%s\n", when, kind, w.Start, w.End, w.Since.Format("2006-01-02 15:04"), w.Until.Format("2006-01-02 15:04"))
}
