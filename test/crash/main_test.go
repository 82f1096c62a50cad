package crash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "backstay-crash-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "backstay")
	build := exec.Command("go", "build", "-tags", "crashtest", "-o", binary, "../../cmd/backstay")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the binary:", err)
		return 1
	}
	return m.Run()
}

// long reports whether the long forms are asked for.
func long() bool { return os.Getenv("BACKSTAY_SOAK") != "" }

// times is short, or in a soak the long form.
func times(short, soak int) int {
	if long() {
		return soak
	}
	return short
}
