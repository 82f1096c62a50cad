//go:build unix

package pgtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Kill is Crash without a test that fails.
func (c *Cluster) Kill() error {
	if !c.Running() {
		return fmt.Errorf("the server in %s does not run", c.Dir)
	}
	postmaster := c.server.PID()
	// A stopped postmaster starts no process and misses none, so the list is whole and nothing is tidied up.
	if err := syscall.Kill(postmaster, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	for _, pid := range children(postmaster) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("kill a process of the server: %w", err)
		}
	}
	return c.server.Kill()
}

// children are the processes that pid started, by /proc; none where there is no /proc: they then end by themselves.
func children(pid int) (all []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// "PID (NAME) STATE PARENT …": the name may hold anything.
		_, rest, _ := strings.Cut(string(b), ") ")
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
