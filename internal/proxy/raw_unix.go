//go:build unix && !linux

package proxy

import (
	"io"
	"os"
	"syscall"
)

const polled = true

// readSome reads without waiting; wait says that there is nothing yet.
func readSome(fd uintptr, b []byte) (n int, wait bool, err error) {
	for {
		n, err := syscall.Read(int(fd), b)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, true, nil
		case err != nil:
			return 0, false, os.NewSyscallError("read", err)
		case n == 0:
			return 0, false, io.EOF
		}
		return n, false, nil
	}
}

// writeSome writes without waiting; wait says that there is no room.
func writeSome(fd uintptr, b []byte) (n int, wait bool, err error) {
	for {
		n, err := syscall.Write(int(fd), b)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, true, nil
		case err != nil:
			return 0, false, os.NewSyscallError("write", err)
		}
		return n, false, nil
	}
}
