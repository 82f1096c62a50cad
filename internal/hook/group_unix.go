//go:build unix

package hook

import (
	"os/exec"
	"syscall"
	"time"
)

// grouped gives c a process group of its own: when its context ends the group is asked to end, and killed when it does not. The function
// that is returned ends what is left of the group.
func grouped(c *exec.Cmd) (end func()) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var kill *time.Timer
	signal := func(s syscall.Signal) error { return syscall.Kill(-c.Process.Pid, s) }
	c.Cancel = func() error {
		kill = time.AfterFunc(grace/2, func() { _ = signal(syscall.SIGKILL) })
		return signal(syscall.SIGTERM)
	}
	return func() {
		if kill != nil {
			kill.Stop()
		}
		if c.Process != nil {
			_ = signal(syscall.SIGKILL) // an empty group is no error that matters
		}
	}
}
