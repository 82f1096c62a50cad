//go:build unix

package server

import "syscall"

// tell sends the signal that the server documents for a mode (PostgreSQL manual, "Shutting Down the Server").
func (c *child) tell(_ Config, m Mode) error {
	if m == Immediate {
		return c.cmd.Process.Signal(syscall.SIGQUIT)
	}
	return c.cmd.Process.Signal(syscall.SIGINT)
}
