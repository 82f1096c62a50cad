package policy

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/history"
)

var update = flag.Bool("update", false, "write what was found below the line of each table")

// TestTables reads testdata/policy: promises, and facts as they change over time, above the line; what is found at each time
// below it. What is remembered goes through JSON from one time to the next, as in the daemon.
func TestTables(t *testing.T) {
	files, err := filepath.Glob("testdata/policy/*.txt")
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
			got := play(t, above)
			if *update {
				if err := os.WriteFile(file, []byte(above+"----\n"+got), 0o644); err != nil {
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

// stage is where a table plays.
type stage struct {
	t      *testing.T
	o      Objectives
	f      Facts
	now    time.Time
	memory Memory
	out    strings.Builder
}

func play(t *testing.T, text string) string {
	t.Helper()
	s := &stage{t: t, f: Facts{Source: "orders"}}
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
		if len(words) == 0 {
			continue
		}
		if words[0] == "at" {
			s.now = s.time(words[1])
			s.judge()
			continue
		}
		s.fact(words, options)
	}
	return s.out.String()
}

// judge prints what is found with the facts up to here.
func (s *stage) judge() {
	before, err := json.Marshal(s.memory)
	if err != nil {
		s.t.Fatal(err)
	}
	findings, next := Judge(s.o, s.f, s.memory, s.now)
	if after, _ := json.Marshal(s.memory); string(after) != string(before) {
		s.t.Errorf("memory was changed: %s, before %s", after, before)
	}
	fmt.Fprintf(&s.out, "at %s\n", s.now.Format("2006-01-02 15:04:05"))
	for _, f := range findings {
		fmt.Fprintf(&s.out, "  %s %s%s since %s: %s\n", f.Severity, f.Objective, about(f), f.Since.Format("2006-01-02 15:04:05"), f.Reason)
		if f.Exception != nil {
			fmt.Fprintf(&s.out, "    silenced by %s until %s: %s\n", f.Exception.By, f.Exception.End.Format("2006-01-02"), f.Exception.Reason)
			continue
		}
		fmt.Fprintf(&s.out, "    %s\n", f.Do)
	}
	text, err := json.Marshal(next)
	if err != nil {
		s.t.Fatal(err)
	}
	s.memory = nil
	if err := json.Unmarshal(text, &s.memory); err != nil {
		s.t.Fatal(err)
	}
}

func about(f Finding) string {
	if f.Repository == "" {
		return ""
	}
	return " of " + f.Repository
}

func (s *stage) fact(words []string, options map[string]string) {
	switch words[0] {
	case "promise":
		s.promise(options)
	case "exception":
		s.o.Exceptions = append(s.o.Exceptions, Exception{Objective: Objective(words[1]), Repository: options["repository"], End: s.time(options["until"]), By: options["by"], Reason: options["reason"]})
	case "protected":
		s.f.Protected = s.time(words[1])
	case "trouble":
		s.f.Trouble = s.trouble(options)
	case "repository":
		s.repository(s.find(words[1]), options)
	case "window":
		r := s.find(words[1])
		r.Windows = append(r.Windows, history.Window{Since: s.time(words[2]), Until: s.time(words[3]), Abandoned: options["abandoned"] != ""})
	case "gap":
		r := s.find(words[1])
		r.Gaps = append(r.Gaps, history.Gap{Since: s.time(words[2]), Until: s.time(words[3]), Reason: options["reason"]})
	case "drill":
		s.f.Drills = append(s.f.Drills, DrillRun{Time: s.time(words[1]), Verdict: Verdict(words[2]), Repository: options["from"], Reason: options["reason"], Timing: Timing{
			LaidBytes: s.bytes(options["laid"]), LaySeconds: s.number(options["lay"]), LogBytes: s.bytes(options["log"]), FetchSeconds: s.number(options["fetch"]),
			ReplaySeconds: s.number(options["replay"]), StartSeconds: s.number(options["start"])}})
	case "restore":
		s.f.Restore = Restore{LayBytes: s.bytes(options["base"]), LogBytes: s.bytes(options["log"]), LogRate: float64(s.bytes(options["rate"])), NextBase: s.time(options["next"])}
	case "spool", "held":
		room := map[string]*Room{"spool": &s.f.Spool, "held": &s.f.Held}[words[0]]
		*room = Room{Bytes: s.bytes(options["bytes"]), Limit: s.bytes(options["limit"]), Rate: float64(s.bytes(options["rate"]))}
	case "job":
		s.f.Jobs = slices.DeleteFunc(s.f.Jobs, func(j Job) bool { return j.Name == words[1] })
		s.f.Jobs = append(s.f.Jobs, Job{Name: words[1], Due: s.time(options["due"]), Why: options["why"], Trouble: s.trouble(options), Tries: int(s.number(options["tries"]))})
	default:
		s.t.Fatalf("unknown fact %q", words)
	}
}

func (s *stage) promise(options map[string]string) {
	for key, value := range options {
		spans := map[string]*time.Duration{"rpo": &s.o.RPO, "rto": &s.o.RTO, "window": &s.o.Window, "drill": &s.o.DrillAge, "check": &s.o.CheckAge, "deep": &s.o.DeepCheckAge}
		switch {
		case spans[key] != nil:
			*spans[key] = s.span(value)
		case key == "copies":
			s.o.Copies = int(s.number(value))
		case key == "coverage":
			s.o.Coverage = s.number(value)
		default:
			s.t.Fatalf("unknown promise %q", key)
		}
	}
}

func (s *stage) find(name string) *Repository {
	i := slices.IndexFunc(s.f.Repositories, func(r Repository) bool { return r.Name == name })
	if i < 0 {
		i = len(s.f.Repositories)
		s.f.Repositories = append(s.f.Repositories, Repository{Name: name})
	}
	return &s.f.Repositories[i]
}

func (s *stage) repository(r *Repository, options map[string]string) {
	for key, value := range options {
		switch key {
		case "lag":
			r.Lag = s.span(value)
		case "free":
			r.Disk = Disk{Free: s.bytes(value), Rate: float64(s.bytes(options["daily"])) / 86400}
		case "daily":
		case "behind":
			r.LagBytes = s.bytes(value)
		case "error":
			r.Trouble = s.trouble(options)
		case "checked":
			r.Checked = s.time(value)
		case "deep":
			r.DeepChecked = s.time(value)
		case "damage":
			r.Damage, r.DamageSince = nil, s.time(options["since"])
			if value != "none" {
				r.Damage = strings.Split(value, ",")
			}
		}
	}
}

func (s *stage) trouble(options map[string]string) Trouble {
	if options["error"] == "" || options["error"] == "none" {
		return Trouble{}
	}
	return Trouble{Text: options["error"], Since: s.time(options["since"]), Do: options["do"]}
}

func (s *stage) time(text string) time.Time {
	if after, ok := strings.CutPrefix(text, "+"); ok {
		return s.now.Add(s.span(after))
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	if text != "" {
		s.t.Fatalf("not a time: %q", text)
	}
	return time.Time{}
}

func (s *stage) span(text string) time.Duration {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		return time.Duration(s.number(days) * 24 * float64(time.Hour))
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *stage) number(text string) float64 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stage) bytes(text string) int64 {
	units := map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
	for unit, n := range units {
		if number, ok := strings.CutSuffix(text, unit); ok {
			return int64(s.number(number) * float64(n))
		}
	}
	return int64(s.number(text))
}
