package proxy

import (
	"net"
	"time"
)

// unanswered is how long the other side may leave bytes, or the probes of a silent connection, without an answer.
const unanswered = 10 * time.Second

// Keep sets up a connection that may be silent for long and must not be taken for alive when its host is gone.
func Keep(conn net.Conn) {
	c, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	_ = c.SetNoDelay(true)
	_ = c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 3 * time.Second, Count: 3})
	limitUnanswered(c)
}

// Reset closes conn at once: what was not sent yet is dropped, and the other side learns that it was.
func Reset(conn net.Conn) {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	_ = conn.Close()
}
