package sqlite

import (
	"os"

	"golang.org/x/sys/unix"
)

// readCached reads what the page cache holds, without waiting for the disk and without putting anything in. It reports
// whether all of b was there.
func readCached(f *os.File, b []byte, off int64) bool {
	raw, err := f.SyscallConn()
	if err != nil || len(b) == 0 {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) {
		n, err = unix.Preadv2(int(fd), [][]byte{b}, off, unix.RWF_NOWAIT)
	})
	return err == nil && n == len(b)
}
