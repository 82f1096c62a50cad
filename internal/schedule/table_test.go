package schedule

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what was decided below the lines of testdata")

// A block is one case of a text table: a name after ##, facts above the line ---, and what follows from them below.
type block struct {
	name         string
	facts, below []string
	file         *tableFile
}

type tableFile struct {
	name   string
	blocks []*block
	head   string
}

// blocks reads a file of cases. With -update it is written again when the test has ended.
func blocks(t *testing.T, name string) []*block {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(data), "\n## ")
	f := &tableFile{name: name, head: parts[0]}
	for _, part := range parts[1:] {
		above, below, hasLine := strings.Cut(strings.TrimSpace(part), "\n---")
		lines := strings.Split(above, "\n")
		if !hasLine || len(lines) < 2 {
			t.Fatalf("%s: %q has no facts or no line", name, lines[0])
		}
		b := &block{name: lines[0], facts: lines[1:], file: f}
		if below = strings.Trim(below, "\n"); below != "" {
			b.below = strings.Split(below, "\n")
		}
		f.blocks = append(f.blocks, b)
	}
	if len(f.blocks) == 0 {
		t.Fatalf("%s has no cases", name)
	}
	if *update {
		t.Cleanup(func() { f.write(t) })
	}
	return f.blocks
}

func (f *tableFile) write(t *testing.T) {
	var out strings.Builder
	out.WriteString(f.head)
	for _, b := range f.blocks {
		out.WriteString("\n## " + b.name + "\n" + strings.Join(b.facts, "\n") + "\n---\n" + strings.Join(b.below, "\n") + "\n")
	}
	if err := os.WriteFile(f.name, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (b *block) compare(t *testing.T, got []string) {
	t.Helper()
	if *update {
		b.below = got
		return
	}
	if diff := cmp.Diff(b.below, got); diff != "" {
		t.Errorf("below the line, - as it stands there, + as it is:\n%s", diff)
	}
}

// parseMoment reads "2026-11-20 02:45 Europe/Berlin"; seconds can be left out, and the zone, which then is UTC.
func parseMoment(t *testing.T, text string) time.Time {
	t.Helper()
	fields := strings.Fields(text)
	zone := time.UTC
	if len(fields) == 3 {
		zone = ok(time.LoadLocation(fields[2]))(t)
	}
	return momentIn(t, strings.Join(fields[:2], " "), zone)
}

func momentIn(t *testing.T, text string, zone *time.Location) time.Time {
	t.Helper()
	layout := "2006-01-02 15:04:05"
	return ok(time.ParseInLocation(layout[:min(len(layout), len(text))], text, zone))(t)
}

func mustWindows(t *testing.T, text string) Windows {
	t.Helper()
	return ok(ParseWindows(text))(t)
}

func mustParse(t *testing.T, text string) Expr {
	t.Helper()
	return ok(Parse(text))(t)
}

// ok returns a function that returns v, or ends the test on err.
func ok[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
