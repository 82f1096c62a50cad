package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/proxy"
)

// pass carries the client's login to the server as it is. The session can not be moved then.
func (s *session) pass(ctx context.Context) error {
	c := s.carrier
	conn, up, at, err := c.listener.Reach(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.listener.Handshake)
	defer cancel()
	b := &backend{conn: conn, to: up, at: at}
	defer s.bounded(b)()
	if b.conn, err = c.encrypt(ctx, conn, up.Address); err == nil {
		_ = b.conn.SetDeadline(time.Now().Add(c.listener.Handshake))
		b.greeting, err = s.passLogin(b)
	}
	if err != nil {
		proxy.Reset(conn)
		if at != nil {
			at.Detach()
		}
		return err
	}
	_ = b.conn.SetDeadline(time.Time{})
	s.install(b)
	return nil
}

// passLogin goes through the login message by message, up to the first ReadyForQuery.
func (s *session) passLogin(b *backend) (*greeting, error) {
	if _, err := b.conn.Write(s.parameters.packet()); err != nil {
		return nil, fmt.Errorf("log in at the server: %w", err)
	}
	r := bufio.NewReaderSize(b.conn, 2048)
	g := &greeting{}
	for {
		kind, body, err := readFrame(r)
		if err != nil {
			return nil, fmt.Errorf("log in at the server: %w", err)
		}
		switch kind {
		case 'E':
			return nil, parseError(body)
		case 'K':
			g.key = body
			body = s.carrier.register(s)
		case 'Z':
			g.rest, _ = r.Peek(r.Buffered())
			g.rest = append([]byte(nil), g.rest...)
		}
		if _, err := s.client.Write(frame(nil, kind, body)); err != nil {
			s.carrier.forget(s)
			return nil, err
		}
		switch {
		case kind == 'Z':
			return g, nil
		case kind == 'R' && asks(body):
			kind, body, err := readFrame(s.client)
			if err == nil && kind != 'p' {
				err = errors.New("log in: the client does not answer as the protocol has it")
			}
			if err == nil {
				_, err = b.conn.Write(frame(nil, kind, body))
			}
			if err != nil {
				return nil, err
			}
		}
	}
}

// asks says whether an Authentication message waits for an answer: all do but the last ones, 0 and 12.
func asks(body []byte) bool {
	return len(body) >= 4 && body[3] != 0 && body[3] != 12
}
