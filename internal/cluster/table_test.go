package cluster

import (
	"os"
	"slices"
	"strings"
	"testing"
)

var phases = []Phase{Forming, Serving, Draining, Fencing, Promoting}

// TestEveryPhaseEndsInARowThatAlwaysHolds: Decide never finds no row.
func TestEveryPhaseEndsInARowThatAlwaysHolds(t *testing.T) {
	for _, p := range phases {
		var last *Row
		for i := range table {
			if table[i].In == p {
				last = &table[i]
			}
		}
		if last == nil || len(last.If) != 0 {
			t.Errorf("%s: its last row has conditions", p)
		}
	}
}

// TestEveryRowIsTheFirstForSomething: no row is hidden by those above it, for some way in which the conditions can hold.
func TestEveryRowIsTheFirstForSomething(t *testing.T) {
	for _, p := range phases {
		names := map[string]int{}
		for _, r := range table {
			for _, c := range r.If {
				if _, ok := names[c.name]; r.In == p && !ok {
					names[c.name] = len(names)
				}
			}
		}
		first := map[string]bool{}
		for set := range 1 << len(names) {
			for _, r := range table {
				holds := r.In == p && !slices.ContainsFunc(r.If, func(c condition) bool {
					return (set>>names[c.name]&1 == 1) == c.not
				})
				if holds {
					first[r.Name] = true
					break
				}
			}
		}
		for _, r := range table {
			if r.In == p && !first[r.Name] {
				t.Errorf("%s: %q can never be taken", p, r.Name)
			}
		}
	}
}

// TestEveryPhaseIsReachedAndLeadsToServing: no phase is a dead end, whatever happened before.
func TestEveryPhaseIsReachedAndLeadsToServing(t *testing.T) {
	for _, p := range phases {
		if !reaches(Forming, p) {
			t.Errorf("%s is never reached", p)
		}
		if !reaches(p, Serving) {
			t.Errorf("%s never leads to serving", p)
		}
	}
}

func reaches(from, to Phase) bool {
	seen := map[Phase]bool{from: true}
	for queue := []Phase{from}; len(queue) > 0; queue = queue[1:] {
		for _, r := range table {
			if r.In == queue[0] && !seen[r.To] {
				seen[r.To] = true
				queue = append(queue, r.To)
			}
		}
	}
	return seen[to]
}

// TestRowsAreWellFormed: a row that leaves its phase changes the state, none both changes and acts, names are unique, all say why.
func TestRowsAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range table {
		if r.In != r.To && r.Change == nil || r.Change != nil && r.Act != nil || r.Why == nil || seen[r.Name] {
			t.Errorf("row %q", r.Name)
		}
		seen[r.Name] = true
	}
}

const designNote = "../../docs/design/0006-availability.md"

// TestTheDiagramIsTheTable holds the design note against the table. UPDATE=1 writes it anew.
func TestTheDiagramIsTheTable(t *testing.T) {
	text, err := os.ReadFile(designNote)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- table: generated from internal/cluster/table.go -->\n", "<!-- end of table -->"
	head, rest, ok := strings.Cut(string(text), begin)
	old, tail, also := strings.Cut(rest, end)
	if !ok || !also {
		t.Fatal("the note has no place for the table")
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(designNote, []byte(head+begin+Diagram()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != Diagram() {
		t.Error("docs/design/0006-availability.md shows another table: run the test with UPDATE=1")
	}
}
