package proxy

import (
	"io"
	"os"
	"syscall"
	"unsafe"
)

const polled = true

// The calls here never wait, so that the scheduler need not be told of them: to tell it costs wake-ups of other threads,
// which is a quarter of the processor time of a small transaction.

// readSome reads without waiting; wait says that there is nothing yet.
func readSome(fd uintptr, b []byte) (n int, wait bool, err error) {
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch {
		case e == syscall.EINTR:
			continue
		case e == syscall.EAGAIN:
			return 0, true, nil
		case e != 0:
			return 0, false, os.NewSyscallError("read", e)
		case n == 0:
			return 0, false, io.EOF
		}
		return int(n), false, nil
	}
}

// writeSome writes without waiting; wait says that there is no room.
func writeSome(fd uintptr, b []byte) (n int, wait bool, err error) {
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
		switch {
		case e == syscall.EINTR:
			continue
		case e == syscall.EAGAIN:
			return 0, true, nil
		case e != 0:
			return 0, false, os.NewSyscallError("write", e)
		}
		return int(n), false, nil
	}
}
