package member

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"
)

// runs reports whether pid is a server.
func runs(pid int, _ string) bool {
	out, err := exec.Command("tasklist", "/FI", "PID eq "+strconv.Itoa(pid), "/NH").Output()
	return err == nil && strings.Contains(string(out), "postgres")
}

// processes are those that are known of a server.
func processes(_ string, postmaster int) []int {
	if postmaster == 0 {
		return nil
	}
	return []int{postmaster}
}

// warn does nothing, as quit.
func warn(string, int) bool { return false }

// quit does nothing: a server takes no signals here.
func quit(string, []int) {}

// kill ends the server with all that it started.
func kill(_ string, postmaster int, _ []int) {
	_ = exec.Command("taskkill", "/F", "/T", "/PID", strconv.Itoa(postmaster)).Run() // what is left is seen
}

// detached lets a process outlive ours, and our console.
func detached(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.DETACHED_PROCESS}
}
