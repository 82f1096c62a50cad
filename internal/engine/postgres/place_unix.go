//go:build unix

package postgres

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// onOneDisk reports whether two folders are known to lie on one file system.
func onOneDisk(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	if err != nil {
		return false
	}
	p, ok := x.Sys().(*syscall.Stat_t)
	q, also := y.Sys().(*syscall.Stat_t)
	return ok && also && p.Dev == q.Dev
}

// freeBytes is what may still be written to the file system of a folder, zero if that cannot be seen.
func freeBytes(dir string) int64 {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0
	}
	return int64(s.Bavail) * int64(s.Bsize)
}
