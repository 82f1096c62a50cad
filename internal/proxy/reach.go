package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// ErrNoPrimary ends the wait of a session for which there is no member.
var ErrNoPrimary = errors.New("there is no primary at this time")

// ErrTooManyWait turns away who would have to wait.
var ErrTooManyWait = errors.New("there is no primary at this time, and too many wait for one")

// Hold counts one who waits for a primary, until done is called, or refuses.
func (l *Listener) Hold() (done func(), err error) {
	if l.Held.Add(1) > int64(l.Waiting) {
		l.Held.Add(-1)
		l.Refused.Add(1)
		return nil, ErrTooManyWait
	}
	return func() { l.Held.Add(-1) }, nil
}

// Await gives the member for a new session, and waits for one until ctx ends.
func (l *Listener) Await(ctx context.Context) (*View, Upstream, error) {
	v := l.Table.View()
	if up, ok := l.Choose(v); ok {
		return v, up, nil
	}
	done, err := l.Hold()
	if err != nil {
		return nil, Upstream{}, err
	}
	defer done()
	var up Upstream
	v, err = l.Table.Await(ctx, func(v *View) (ok bool) {
		up, ok = l.Choose(v)
		return ok
	})
	if errors.Is(err, ErrNoPrimary) {
		l.Expired.Add(1)
	}
	return v, up, err
}

// Connect connects to u, under v. The attachment is nil for a replica.
func (l *Listener) Connect(ctx context.Context, v *View, u Upstream) (net.Conn, *Attachment, error) {
	conn, err := l.DialMember(ctx, u.Address)
	if err != nil || !u.Primary {
		return conn, nil, err
	}
	at, err := l.Table.Attach(v)
	if err != nil {
		Reset(conn)
		return nil, nil, err
	}
	return conn, at, nil
}

// DialMember connects to a member for no session in particular: to cancel, or to log in ahead.
func (l *Listener) DialMember(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: l.Dial}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("reach the server: %w", err)
	}
	Keep(conn)
	return conn, nil
}

// again is the pause between two tries to reach a member that the route names and that does not answer.
const again = 50 * time.Millisecond

// Reach connects to the member for a new session. It waits for one, and tries again, for as long as the listener's Wait.
func (l *Listener) Reach(ctx context.Context) (net.Conn, Upstream, *Attachment, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.Wait, ErrNoPrimary)
	defer cancel()
	for {
		v, up, err := l.Await(ctx)
		if err != nil {
			return nil, up, nil, err
		}
		conn, at, err := l.Connect(ctx, v, up)
		if err == nil {
			return conn, up, at, nil
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return nil, up, nil, err
		}
	}
}
