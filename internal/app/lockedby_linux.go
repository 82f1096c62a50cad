package app

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockedBy is who has the lock on a file, as proc_locks(5) tells; "" where it does not.
func lockedBy(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return ""
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	for line := range strings.Lines(string(locks)) {
		words := strings.Fields(line)
		if len(words) < 6 || words[1] != "FLOCK" || words[5] != file {
			continue
		}
		command, err := os.ReadFile("/proc/" + words[4] + "/cmdline")
		if err != nil {
			return "pid " + words[4]
		}
		return "pid " + words[4] + ", " + strings.TrimSpace(string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
	}
	return ""
}
