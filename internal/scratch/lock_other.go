//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package scratch

import (
	"errors"
	"os"
)

// lendable says that a lock ends with the process that took it.
const lendable = false

func lockFile(*os.File) (bool, error) { return false, errors.ErrUnsupported }
