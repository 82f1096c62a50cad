//go:build unix

// Package disk says how much a disk still takes.
package disk

import "golang.org/x/sys/unix"

// Free is what an ordinary user may still write to the file system of dir, in bytes.
func Free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
