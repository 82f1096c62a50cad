package proxy

import (
	"net"
	"syscall"
)

// Writer writes to a connection, with as few calls of the kernel and the scheduler as it takes.
type Writer struct {
	to  net.Conn
	raw syscall.RawConn // nil if it has none

	left []byte // of the call under way
	err  error
	try  func(fd uintptr) bool
}

// NewWriter makes the writer of conn. It is for one goroutine at a time.
func NewWriter(conn net.Conn) *Writer {
	w := &Writer{to: conn}
	if c, ok := conn.(syscall.Conn); ok && polled {
		if raw, err := c.SyscallConn(); err == nil {
			w.raw, w.try = raw, w.attempt
		}
	}
	return w
}

// Write writes all of b, or fails; the connection's deadline holds.
func (w *Writer) Write(b []byte) (int, error) {
	if w.raw == nil || len(b) == 0 {
		return w.to.Write(b)
	}
	w.left, w.err = b, nil
	err := w.raw.Write(w.try)
	if err == nil {
		err = w.err
	}
	n := len(b) - len(w.left)
	w.left = nil
	return n, err
}

// attempt writes what there is room for; false has it called again when there is more.
func (w *Writer) attempt(fd uintptr) bool {
	for len(w.left) > 0 {
		n, wait, err := writeSome(fd, w.left)
		w.left = w.left[n:]
		if wait {
			return false
		}
		if err != nil {
			w.err = err
			return true
		}
	}
	return true
}
