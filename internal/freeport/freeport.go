// Package freeport finds addresses for the servers of tests.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports below those that systems give to outgoing connections (32768 on Linux, 49152 elsewhere): a server that is stopped and started again finds
// its own as it left it, however many connections are made meanwhile.
const lowest, highest = 15000, 32767

// Port is one of 127.0.0.1 at which nobody listens. No other test gets it before this one ends, of whatever process it is: a server may listen
// there late, or stop and start again.
func Port(t testing.TB) int {
	t.Helper()
	return Ports(t, 1)
}

// Ports is the first of n in a row, all as Port.
func Ports(t testing.TB, n int) int {
	t.Helper()
	for range 1000 {
		first := lowest + rand.IntN(highest-lowest-n)
		if release, ok := claimAll(first, n); ok {
			t.Cleanup(func() {
				if err := release(); err != nil {
					t.Error(err)
				}
			})
			return first
		}
	}
	t.Fatal("no port is free")
	return 0
}

// Address is 127.0.0.1 and a Port of it.
func Address(t testing.TB) string {
	t.Helper()
	return at(Port(t))
}

func at(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func claimAll(first, n int) (release func() error, ok bool) {
	var held []net.PacketConn
	release = func() error {
		var all error
		for _, h := range held {
			all = errors.Join(all, h.Close())
		}
		return all
	}
	for port := first; port < first+n; port++ {
		c, err := claim(port)
		if err != nil {
			_ = release()
			return nil, false
		}
		held = append(held, c)
	}
	return release, true
}

// claim holds a port of UDP, which no server of a test uses, and with it, for all who ask here, the one of TCP with its number. The system lets go of it when
// the process ends, however that ends.
func claim(port int) (net.PacketConn, error) {
	c, err := net.ListenPacket("udp", at(port))
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", at(port))
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := l.Close(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}
