package agent

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockGuard makes this process the one guard of a deadline.
func lockGuard(path string) (unlock func(), err error) { return flockGuard(path, unix.LOCK_EX) }

// guardRuns reports whether a process is the guard of a deadline. Those who ask share the lock for that moment: none takes another one for the guard.
func guardRuns(path string) bool {
	unlock, err := flockGuard(path, unix.LOCK_SH)
	if err == nil {
		unlock()
	}
	return err == errGuarded
}

func flockGuard(path string, how int) (unlock func(), err error) {
	f, err := os.OpenFile(path+".guard", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			err = errGuarded
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}

// steady keeps the guard running on a host that is short of memory and time, as far as it is allowed to.
func steady() {
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -20)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
	_ = unix.Mlockall(unix.MCL_CURRENT)
}

// alone lets the guard outlive us.
func alone(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
