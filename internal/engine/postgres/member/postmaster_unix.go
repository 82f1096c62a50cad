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
	if !lives(pid) {
		return false
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	if _, err := os.Stat(proc); err != nil { // there is no /proc: lives would have found none in it
		out, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
		return err == nil && strings.Contains(string(out), "postgres")
	}
	// A server works in its data directory.
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	if err != nil {
		return true // not ours to see: then it must be taken for it
	}
	return within(cwd, resolved(dir))
}

// lives reports whether pid is a process that has not ended.
func lives(pid int) bool {
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		_, none := os.Stat("/proc/self/stat")
		return none != nil // there is a /proc, and it is not in it any more
	}
	_, rest, ok := strings.Cut(string(stat), ") ")
	return !ok || !strings.HasPrefix(rest, "Z")
}

// resolved is the path by which a process that works in dir is known; "" where there is none.
func resolved(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	dir, _ = filepath.Abs(dir) // of a process without a working directory: then none is on it
	return dir
}

// within reports whether a process that works in cwd is of the server on a resolved folder. One on a folder that is gone is of none that is
// asked about but by that very path: whoever stops a server must not stop others.
func within(cwd, resolved string) bool {
	return resolved != "" && strings.TrimSuffix(cwd, " (deleted)") == resolved
}

// processes are those of a server on dir: with /proc all of them, the ones that nobody has a list of too; without, the postmaster alone. One that
// nothing but its name points to, and whose folder can't be seen, is another's.
func processes(dir string, postmaster int) (all []int) {
	dir = resolved(dir)
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

// surely reports whether a process lives that is seen to work in a resolved folder.
func surely(pid int, resolved string) bool {
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	return err == nil && within(cwd, resolved) && lives(pid)
}

// warn is quit for the postmaster alone, where it is certain that it is one: it tells those that it knows, and ends when they have.
func warn(dir string, postmaster int) bool {
	return surely(postmaster, resolved(dir)) && syscall.Kill(postmaster, syscall.SIGQUIT) == nil
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
