package script

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/modfile"
)

// TestEachDependencyHasItsReason holds docs/design/0003-dependencies.md against go.mod.
func TestEachDependencyHasItsReason(t *testing.T) {
	data, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	var direct, listed []string
	for _, r := range mod.Require {
		if !r.Indirect {
			direct = append(direct, r.Mod.Path)
		}
	}
	page, err := os.ReadFile("../../docs/design/0003-dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .{20,} \\|$").FindAllSubmatch(page, -1) {
		listed = append(listed, string(m[1]))
	}
	slices.Sort(direct)
	slices.Sort(listed)
	if diff := cmp.Diff(direct, listed); diff != "" {
		t.Errorf("go.mod and the page differ\n%s", diff)
	}
}
