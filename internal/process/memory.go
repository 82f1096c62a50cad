package process

import (
	"os"
	"runtime/debug"
)

// Memory is the heap from which on garbage is collected early. With what lies outside the heap (libzstd, stacks, the program itself)
// every command stays below 200 MB; most never come near it.
const Memory = 144 << 20

// Modest sets the soft limit of the heap to Memory, unless $GOMEMLIMIT says otherwise. A command that needs more gets it, and
// collects more often meanwhile.
func Modest() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(Memory)
	}
}
