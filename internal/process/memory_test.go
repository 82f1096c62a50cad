package process

import (
	"runtime/debug"
	"testing"
)

func TestModest(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "1GiB") // read by the runtime when it begins, and not again
	Modest()
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("a limit of the environment was replaced by %d", got)
	}
	t.Setenv("GOMEMLIMIT", "")
	if Modest(); debug.SetMemoryLimit(-1) != Memory {
		t.Errorf("limit %d", debug.SetMemoryLimit(-1))
	}
}
