package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/route"
)

// Carrier speaks a protocol. Carry serves one connection until it ends, and closes it; it ends it when ctx ends.
type Carrier interface {
	Carry(ctx context.Context, conn net.Conn)
}

// Role says which members a listener leads to.
type Role uint8

const (
	Write Role = iota // the primary
	Read              // the replicas, in turn; the primary where none qualifies
)

// Config of a Listener. What is zero has the value in brackets.
type Config struct {
	Role      Role
	MaxLag    time.Duration // replicas further behind are not read from [2s]
	Clients   int           // connections at a time [10000]
	Waiting   int           // of them, that may wait for a primary [all]
	Wait      time.Duration // how long one may wait for a primary [20s]
	Handshake time.Duration // how long a client may take until it is logged in [30s]
	Dial      time.Duration // how long a server may take to accept a connection and a login [5s]
	Header    bool          // each connection begins with a header of the PROXY protocol, version 2
}

func (c Config) filled() Config {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&c.MaxLag, 2*time.Second)
	set(&c.Wait, 20*time.Second)
	set(&c.Handshake, 30*time.Second)
	set(&c.Dial, 5*time.Second)
	if c.Clients <= 0 {
		c.Clients = 10000
	}
	if c.Waiting <= 0 {
		c.Waiting = c.Clients
	}
	return c
}

// Listener takes connections on an address and has them carried.
type Listener struct {
	Counters
	Config
	Table *Table

	next uint32 // of the replicas, in turn
	mu   sync.Mutex
}

// NewListener makes a listener to table's routes.
func NewListener(table *Table, c Config) *Listener {
	return &Listener{Config: c.filled(), Table: table}
}

// Serve takes connections from l until ctx ends, then waits until all of them have ended. It closes l.
func (l *Listener) Serve(ctx context.Context, from net.Listener, c Carrier) error {
	defer context.AfterFunc(ctx, func() { _ = from.Close() })() // ends Accept
	var all sync.WaitGroup
	defer all.Wait()
	for pause := time.Millisecond; ; {
		conn, err := from.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("listen on %s: %w", from.Addr(), err)
		case err != nil: // too many open files, or a client that went at once
			time.Sleep(pause)
			pause = min(2*pause, time.Second)
			continue
		}
		pause = time.Millisecond
		l.Accepted.Add(1)
		if l.Open.Add(1) > int64(l.Clients) {
			l.Open.Add(-1)
			l.Refused.Add(1)
			_ = conn.Close()
			continue
		}
		all.Go(func() {
			defer l.Open.Add(-1)
			l.carry(ctx, conn, c)
		})
	}
}

func (l *Listener) carry(ctx context.Context, conn net.Conn, c Carrier) {
	if l.Header {
		if err := readHeader(conn, l.Handshake); err != nil {
			l.Failed.Add(1)
			_ = conn.Close()
			return
		}
	}
	Keep(conn)
	c.Carry(ctx, conn)
}

// Upstream is where a session of this listener goes.
type Upstream struct {
	Address string
	Primary bool
}

// Choose gives the member that a new session goes to under v, and whether there is one now.
func (l *Listener) Choose(v *View) (Upstream, bool) {
	if l.Role == Read {
		if r, ok := l.replica(v); ok {
			return Upstream{Address: r.Address}, true
		}
	}
	if v.Open() != route.Serving || v.Address == "" {
		return Upstream{}, false
	}
	return Upstream{Address: v.Address, Primary: true}, true
}

// replica is the next of those that may be read from. How far they are behind is known as long as the route counts, and
// a while longer: a failover must not stop reads.
func (l *Listener) replica(v *View) (route.Replica, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range v.Replicas {
		l.next++
		if r := v.Replicas[int(l.next)%len(v.Replicas)]; l.qualifies(r) {
			return r, true
		}
	}
	return route.Replica{}, false
}

func (l *Listener) qualifies(r route.Replica) bool {
	return !r.Unknown && r.Lag <= l.MaxLag && r.Address != ""
}

// Keeps says whether a session at u may stay there under v. A replica that falls behind loses no session that it has: the
// lag may be over sooner than a new login, and what is read in a transaction does not get older. Nor does it lose one
// while there is no primary: routes that carry nothing need not name those that may be read from.
func (l *Listener) Keeps(u Upstream, epoch uint64, v *View) bool {
	if u.Primary {
		return epoch == v.Epoch && u.Address == v.Address
	}
	return v.Open() == route.Closed || slices.ContainsFunc(v.Replicas, func(r route.Replica) bool { return r.Address == u.Address })
}
