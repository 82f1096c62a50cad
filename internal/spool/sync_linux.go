package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes the content and the length of f durable, but not its times.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
