//go:build unix

package member

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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
	return within(cwd, dir)
}

// within reports whether a process that works in cwd is of the server on dir. One on a folder that is gone is of none that is asked
// about but by that very path: whoever stops a server must not stop others.
func within(cwd, dir string) bool {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	dir, err := filepath.Abs(dir)
	return err == nil && strings.TrimSuffix(cwd, " (deleted)") == dir
}

// surely is runs for a process that nothing but its name points to: where its folder can't be seen it is another's.
func surely(pid int, dir string) bool {
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	return err == nil && within(cwd, dir) && runs(pid, dir)
}

// processes are those of a server on dir: with /proc all of them, the ones that nobody has a list of too; without, the postmaster alone.
func processes(dir string, postmaster int) (all []int) {
	entries, _ := os.ReadDir("/proc")
	there := false
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		there = true
		comm, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		if err == nil && strings.HasPrefix(string(comm), "postgres") && surely(pid, dir) { // else it has ended, or is another program
			all = append(all, pid)
		}
	}
	if !there && postmaster != 0 {
		all = append(all, postmaster)
	}
	return all
}

// quit tells the processes to stop as in a crash.
func quit(dir string, all []int) { signal(dir, all, syscall.SIGQUIT) }

// kill ends what does not obey.
func kill(dir string, postmaster int, all []int) {
	if postmaster != 0 && syscall.Kill(postmaster, syscall.SIGSTOP) == nil { // it starts no more, and the list is whole
		all = append(all, processes(dir, postmaster)...)
	}
	signal(dir, all, syscall.SIGKILL)
}

func signal(dir string, all []int, what syscall.Signal) {
	for _, pid := range all {
		if runs(pid, dir) { // its number may be another's by now
			_ = syscall.Kill(pid, what) // it may have ended
		}
	}
}

// detached lets a process outlive ours, and our terminal.
func detached(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
}
