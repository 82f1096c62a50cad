package failover

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// wire is the connection below a session. It knows whether anything was sent since a moment, and notices its end.
type wire struct {
	net.Conn
	sent atomic.Int64 // bytes that the system took
	lost func()       // called when the other side ends it
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.judge(err)
	return n, err
}

func (w *wire) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	w.sent.Add(int64(n))
	w.judge(err)
	return n, err
}

// judge tells of an end that is not ours, by Close or by a deadline.
func (w *wire) judge(err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
		w.lost()
	}
}

// A server that vanished without a word is noticed by probes within keepIdle + keepCount × keepEvery, and by data that
// nobody acknowledges within unacknowledged, where the system can do that.
const (
	keepIdle       = 5 * time.Second
	keepEvery      = 2 * time.Second
	keepCount      = 3
	unacknowledged = 10 * time.Second
)

// dial opens a wire.
func dial(ctx context.Context, network, address string, lost func()) (*wire, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepIdle, Interval: keepEvery, Count: keepCount},
		Control:         control,
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &wire{Conn: conn, lost: lost}, nil
}
