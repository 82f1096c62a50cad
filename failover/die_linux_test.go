package failover_test

import (
	"os/exec"
	"syscall"
)

// dieWithUs has the kernel end cmd when this process ends, however it does.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT }
