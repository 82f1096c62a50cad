package process

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes: the kernel kills the child when we die.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func onOneThread() func() {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// finish waits for the end of the child and kills what is left of its group before the child is reaped: as long as it is not, its
// number is nobody else's.
func (m *member) finish(cmd *exec.Cmd) error {
	for errors.Is(unix.Waitid(unix.P_PID, m.pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	m.kill()
	return cmd.Wait()
}

// rounds bounds the hunt for processes that start others while we look.
const rounds = 20

// EndMarked kills every process that was started with mark in its environment, again and again until there is none.
func EndMarked(mark string) {
	for range rounds {
		found := marked(mark)
		for _, pid := range found {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
		}
		if len(found) == 0 {
			return
		}
	}
}

// marked lists the processes with mark in the environment that they were started with. Those of others are not shown to us, and
// a zombie has none.
func marked(mark string) (pids []int) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil
	}
	for _, name := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for _, entry := range bytes.Split(env, []byte{0}) {
			if string(entry) == mark {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}
