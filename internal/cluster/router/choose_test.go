package router

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// TestChoices reads testdata/choices.txt: above ---- what was chosen before and what the members say, below it what is chosen and
// why. A member is NAME ROLE TIMELINE AGE [PRIORITY]; roles are as engines tell them, AGE that of its newest answer, "refused" behind it says that
// the newest question had none.
func TestChoices(t *testing.T) {
	table, err := os.ReadFile("testdata/choices.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(string(table), "== ")[1:]
	if len(cases) < 10 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		name, rest, _ := strings.Cut(c, "\n")
		facts, want, ok := strings.Cut(rest, "----\n")
		if !ok {
			t.Fatalf("%s: no ----", name)
		}
		t.Run(name, func(t *testing.T) {
			const now = time.Hour
			was, heard := Choice{}, Never
			var seen []Seen
			for line := range strings.Lines(facts) {
				f := strings.Fields(line)
				switch f[0] {
				case "was":
					was = Choice{Primary: f[1], SystemID: "s"}
					was.Timeline = uint32(number(t, f[2]))
				case "heard":
					heard = now - duration(t, f[1])
				default:
					s := Seen{Name: f[0], Asked: now - duration(t, f[3]), Sight: engine.Sight{Role: engine.Role(f[1]), SystemID: "s", Position: history.At(uint32(number(t, f[2])), 1)}}
					for _, word := range f[4:] {
						switch word {
						case "refused":
							s.Err = "connection refused"
						case "other":
							s.Sight.SystemID = "other"
						default:
							s.Priority = number(t, word)
						}
					}
					seen = append(seen, s)
				}
			}
			got := choose(was, seen, heard, now, time.Second)
			text := fmt.Sprintf("%s %d\n%s\n", orNobody(got.Primary), got.Timeline, got.Reason)
			if diff := cmp.Diff(want, text); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func orNobody(name string) string {
	if name == "" {
		return "nobody"
	}
	return name
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLagIsTheAgeOfTheData(t *testing.T) {
	var c course
	if _, _, ok := c.lag(5); ok {
		t.Error("a lag is known before the primary was seen")
	}
	for _, m := range []struct {
		at  time.Duration
		seq uint64
	}{{1, 100}, {2, 100}, {3, 200}, {4, 300}} {
		c.note(m.at*time.Second, history.At(1, m.seq))
	}
	for _, want := range []struct {
		seq   uint64
		age   time.Duration
		bytes uint64
		known bool
	}{{300, 0, 0, true}, {350, 0, 0, true}, {250, time.Second, 50, true}, {200, time.Second, 100, true}, {150, 2 * time.Second, 150, true}, {100, 2 * time.Second, 200, true}, {50, 0, 250, false}} {
		age, bytes, ok := c.lag(want.seq)
		if ok != want.known || bytes != want.bytes || ok && age != want.age {
			t.Errorf("at %d: %v and %d bytes behind, known %v; want %+v", want.seq, age, bytes, ok, want)
		}
	}
	c.note(5*time.Second, history.At(2, 150))
	if _, _, ok := c.lag(100); ok {
		t.Error("what the old primary was seen at counts for the new one")
	}
}
