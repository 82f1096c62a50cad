//go:build unix

package failover_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// gate stands between clients and a server and looks at the messages of the clients. It cuts a connection at the moment
// that a test wants.
type gate struct {
	t      testing.TB
	listen net.Listener
	to     string
	mu     sync.Mutex
	conns  map[net.Conn]bool

	// then is called with the next statement of a client that is the text, which goes on to the server if it calls forward.
	// No answer comes back, and when then returns, the connection is cut.
	text string
	then func(forward func())
}

func newGate(t testing.TB, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, listen: l, to: to, conns: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { g.carry(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // ends the loop
		g.cutAll()
		all.Wait()
	})
	return g
}

func (g *gate) url() string {
	return "postgres://postgres@" + g.listen.Addr().String() + "/postgres?sslmode=disable"
}

// lead has new connections lead to another server.
func (g *gate) lead(to string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.to = to
}

// onCommit arms the gate for the next COMMIT.
func (g *gate) onCommit(then func(forward func())) { g.on("commit", then) }

// on arms the gate for the next statement of that text.
func (g *gate) on(text string, then func(forward func())) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.text, g.then = text, then
}

// armed gives what is to be done at a statement, once.
func (g *gate) armed(body []byte) (then func(forward func())) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.then != nil && string(bytes.TrimRight(body, "\x00")) == g.text {
		then, g.then = g.then, nil
	}
	return then
}

func (g *gate) cutAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		reset(c)
	}
}

// reset ends a connection without a word of the protocol.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // it is closed all the same
	}
	_ = c.Close() // it may be closed
}

func (g *gate) carry(client net.Conn) {
	g.mu.Lock()
	to := g.to
	g.conns[client] = true
	g.mu.Unlock()
	defer func() {
		reset(client)
		g.mu.Lock()
		delete(g.conns, client)
		g.mu.Unlock()
	}()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	var mute atomic.Bool
	var back sync.WaitGroup
	back.Go(func() {
		answers(client, server, &mute)
		if !mute.Load() {
			reset(client)
		}
	})
	defer back.Wait()
	defer server.Close()
	g.messages(client, server, &mute)
}

// answers carries what the server says, until it is to be mute.
func answers(client, server net.Conn, mute *atomic.Bool) {
	b := make([]byte, 32<<10)
	for {
		n, err := server.Read(b)
		if !mute.Load() {
			if _, err := client.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// messages carries a client's messages: the first one has no letter before it.
func (g *gate) messages(client, server net.Conn, mute *atomic.Bool) {
	first := true
	for {
		head := make([]byte, 5)
		if first {
			head = head[:4]
		}
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[len(head)-4:])-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		message := append(head, body...)
		if !first && head[0] == 'Q' {
			if then := g.armed(body); then != nil {
				mute.Store(true)
				then(func() {
					if _, err := server.Write(message); err != nil {
						g.t.Errorf("forward a statement: %v", err)
					}
				})
				return
			}
		}
		first = false
		if _, err := server.Write(message); err != nil {
			return
		}
	}
}
