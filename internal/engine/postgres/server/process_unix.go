//go:build unix && !linux

package server

import (
	"os/exec"
	"syscall"
)

// tie puts the child into a group of its own, so that a Ctrl-C at our terminal does not reach it.
func tie(cmd *exec.Cmd, b bond) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if b == outlivesUs {
		cmd.SysProcAttr.Setsid = true
		return
	}
	cmd.SysProcAttr.Setpgid = true
}
