//go:build unix

package postgres

import (
	"os"
	"syscall"
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
