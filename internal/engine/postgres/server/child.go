package server

import (
	"os/exec"
	"runtime"
)

// bond is what becomes of a child when this process ends.
type bond int

const (
	diesWithUs bond = iota
	outlivesUs
)

// child is the postmaster's process.
type child struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; valid once done is closed
}

// spawn starts cmd. The kernel ends a child with the thread that started it, not with the process, so that thread waits
// for it.
func spawn(cmd *exec.Cmd, b bond) (*child, error) {
	c := &child{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	tie(cmd, b)
	go func() {
		if b == diesWithUs {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
		}
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
		}
		close(c.done)
	}()
	return c, <-started
}

// ended judges the end of a child that was told to: an immediate stop has no clean end.
func (c *child) ended(m Mode) error {
	if m == Immediate {
		return nil
	}
	return c.err
}
