//go:build unix

package drill

import (
	"os/exec"
	"syscall"
)

// killed reports whether somebody ended the command: a person, or the kernel that had no memory left. A crash of its own is none.
func killed(e *exec.ExitError) bool {
	status, ok := e.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && (status.Signal() == syscall.SIGKILL || status.Signal() == syscall.SIGTERM)
}
