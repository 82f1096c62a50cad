//go:build unix

package process

import (
	"os/exec"
	"syscall"
)

// member is a started child at the head of a group of its own, so that a Ctrl-C at our terminal does not reach it.
type member struct{ pid int }

func join(cmd *exec.Cmd) (*member, error) {
	cmd.SysProcAttr = attributes()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &member{cmd.Process.Pid}, nil
}

func (m *member) terminate() { _ = syscall.Kill(-m.pid, syscall.SIGTERM) } // none may be left

func (m *member) kill() { _ = syscall.Kill(-m.pid, syscall.SIGKILL) } // none may be left

func (*member) close() {}
