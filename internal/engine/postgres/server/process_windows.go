package server

import (
	"fmt"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/windows"
)

// tie puts the child into a group of its own, so that a Ctrl-C at our console does not reach it.
func tie(cmd *exec.Cmd, _ bond) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// tell has pg_ctl send the signal: a server takes it from a pipe of its own there.
func (c *child) tell(conf Config, m Mode) error {
	name := "INT"
	if m == Immediate {
		name = "QUIT"
	}
	out, err := conf.Programs.Command(conf.User, "pg_ctl", "kill", name, strconv.Itoa(c.cmd.Process.Pid)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("pg_ctl kill %s: %w: %.200s", name, err, out)
	}
	return nil
}
