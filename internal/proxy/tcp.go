package proxy

import (
	"context"
	"net"
	"sync"

	"github.com/backstaydb/backstay/internal/route"
)

// TCP carries bytes that it does not understand: for services whose protocol Backstay does not speak, and for
// connections that are encrypted past it. New connections wait for a primary; those that stand are reset when the route
// no longer leads to their member.
type TCP struct{ Listener *Listener }

// Carry implements Carrier.
func (t TCP) Carry(ctx context.Context, client net.Conn) { t.CarryFrom(ctx, client, nil) }

// CarryFrom is Carry for a client of which the bytes in first were read already.
func (t TCP) CarryFrom(ctx context.Context, client net.Conn, first []byte) {
	defer client.Close()
	l := t.Listener
	server, up, at, err := l.Reach(ctx)
	if err != nil {
		Reset(client)
		return
	}
	defer server.Close()
	if at != nil {
		defer at.Detach()
	}
	epoch := uint64(0)
	if at != nil {
		epoch = at.Epoch()
	}
	sever := sync.OnceFunc(func() {
		l.Unknown.Add(1)
		Reset(client)
		Reset(server)
	})
	check := func(v *View) {
		if !l.Keeps(up, epoch, v) || up.Primary && v.Open() == route.Closed {
			sever()
		}
	}
	defer l.Table.Watch(check)()
	check(l.Table.View())
	defer context.AfterFunc(ctx, func() { Reset(client); Reset(server) })()
	if _, err := server.Write(first); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { t.copy(server, client, &l.Up, up) })
	t.copy(client, server, &l.Down, up)
	both.Wait()
}

// copy carries one direction, and then closes it at the far end, so that the other direction can end by itself.
func (t TCP) copy(to, from net.Conn, count interface{ Add(int64) int64 }, up Upstream) {
	r, w := NewReader(from), NewWriter(to)
	for {
		b, err := r.Read()
		if err != nil {
			break
		}
		if up.Primary && t.Listener.Table.View().Open() == route.Closed {
			b.Release()
			Reset(to)
			return
		}
		n, err := w.Write(b.Bytes())
		count.Add(int64(n))
		b.Release()
		if err != nil {
			Reset(from)
			return
		}
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		return
	}
	_ = to.Close()
}
