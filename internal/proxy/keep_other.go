//go:build !linux

package proxy

import "net"

// limitUnanswered has no counterpart that all other systems know; their keepalives count.
func limitUnanswered(*net.TCPConn) {}
