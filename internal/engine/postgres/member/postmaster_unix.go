//go:build unix

package member

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// runs reports whether pid is a server on dir. Its number may be another process's by now, after a crash of the host.
func runs(pid int, dir string) bool {
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		return false
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		if _, none := os.Stat("/proc/self/stat"); none == nil {
			return false // there is a /proc, and it is not in it any more
		}
		out, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
		return err == nil && strings.Contains(string(out), "postgres")
	}
	if _, rest, ok := strings.Cut(string(stat), ") "); ok && strings.HasPrefix(rest, "Z") {
		return false
	}
	// A server works in its data directory.
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	if err != nil {
		return true // not ours to see: then it must be taken for it
	}
	real, err := filepath.EvalSymlinks(dir)
	return err != nil || cwd == real
}

// end stops a server as in a crash and waits until none of its processes is left. What does not obey is killed, the processes that it
// started too: one that works on alone would still answer its client.
func end(ctx context.Context, pid int, dir string) error {
	all := append(children(pid), pid)
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil && err != syscall.ESRCH {
		return err
	}
	killAt := time.Now().Add(obeying)
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if !runs(pid, dir) && !anyAlive(all) {
			return nil
		}
		if time.Now().After(killAt) {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err == nil { // it starts no more, and the list is whole
				all = append(all, children(pid)...)
			}
			for _, p := range all {
				if runs(p, dir) {
					_ = syscall.Kill(p, syscall.SIGKILL) // it may have ended
				}
			}
			killAt = time.Now().Add(time.Second)
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("its processes do not end"), ctx.Err())
		case <-time.After(pause):
		}
	}
}

// children are the processes that pid started; none where there is no /proc: they then end when they miss it.
func children(pid int) (all []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ") // "PID (NAME) STATE PARENT …": the name may hold anything
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		if n, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// anyAlive reports whether one of the processes runs. A number that another process got meanwhile delays, and does no more.
func anyAlive(all []int) bool {
	for _, pid := range all {
		if syscall.Kill(pid, 0) == syscall.ESRCH {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			continue
		}
		if _, rest, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(rest, "Z") {
			return true
		}
	}
	return false
}

// detached lets a process outlive ours, and our terminal.
func detached(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
}
