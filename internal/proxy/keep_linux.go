package proxy

import (
	"net"

	"golang.org/x/sys/unix"
)

// limitUnanswered sets TCP_USER_TIMEOUT, so that bytes to a host that is gone fail in seconds, not in a quarter of an hour.
func limitUnanswered(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unanswered.Milliseconds()))
	})
}
