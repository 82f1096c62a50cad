package postgres

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/backstaydb/backstay/internal/proxy"
)

// maxAsks bounds how often a client may ask for encryption before it begins.
const maxAsks = 3

// open goes through what comes before the startup packet. The connection is nil where it was carried to its end.
func (c *Carrier) open(ctx context.Context, conn net.Conn) (net.Conn, startup, error) {
	for range maxAsks {
		var first [1]byte
		if _, err := io.ReadFull(conn, first[:]); err != nil {
			return conn, startup{}, fmt.Errorf("read the startup packet: %w", err)
		}
		if _, is := conn.(*tls.Conn); first[0] == 22 && !is { // a TLS handshake without a question, of PostgreSQL 17
			if c.passes(ctx, conn, first[:]) {
				return nil, startup{}, nil
			}
			if c.TLS == nil {
				return conn, startup{}, errors.New("open a connection: encryption is not set up")
			}
			conn = tls.Server(&unread{conn, first[:]}, direct(c.TLS))
			continue
		}
		s, err := readStartup(conn, first[:])
		if err != nil {
			return conn, s, err
		}
		answer := byte('N')
		switch s.code {
		default:
			return conn, s, nil
		case codeGSS:
		case codeTLS:
			if c.passes(ctx, conn, question(codeTLS)) {
				return nil, s, nil
			}
			if _, is := conn.(*tls.Conn); c.TLS != nil && !is {
				answer = 'S'
			}
		}
		if _, err := conn.Write([]byte{answer}); err != nil {
			return conn, s, err
		}
		if answer == 'S' {
			conn = tls.Server(conn, c.TLS)
		}
	}
	return conn, startup{}, errFrame
}

// passes carries the connection unread if encryption is to be passed on.
func (c *Carrier) passes(ctx context.Context, conn net.Conn, first []byte) bool {
	if !c.PassTLS {
		return false
	}
	_ = conn.SetDeadline(time.Time{})
	proxy.TCP{Listener: c.listener}.CarryFrom(ctx, conn, first)
	return true
}

func question(code uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), code)
}

// direct is t for connections that begin encrypted: they must say by ALPN that they mean PostgreSQL.
func direct(t *tls.Config) *tls.Config {
	t = t.Clone()
	t.NextProtos = []string{"postgresql"}
	return t
}

// unread is a connection of which some bytes were read already.
type unread struct {
	net.Conn
	first []byte
}

func (u *unread) Read(b []byte) (int, error) {
	if len(u.first) > 0 {
		n := copy(b, u.first)
		u.first = u.first[n:]
		return n, nil
	}
	return u.Conn.Read(b)
}

// dial connects to a member, encrypted if that is set up.
func (c *Carrier) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := c.listener.DialMember(ctx, address)
	if err != nil {
		return nil, err
	}
	return c.encrypt(ctx, conn, address)
}

// encrypt encrypts a connection to a member, if that is set up. It closes the connection when that fails.
func (c *Carrier) encrypt(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	if c.Members == nil {
		return conn, nil
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	config := c.Members
	if config.ServerName == "" && !config.InsecureSkipVerify {
		config = config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	var answer [1]byte
	_, err := conn.Write(question(codeTLS))
	if err == nil {
		_, err = io.ReadFull(conn, answer[:])
	}
	if err == nil && answer[0] != 'S' {
		err = errors.New("the server refuses encryption")
	}
	encrypted := tls.Client(conn, config)
	if err == nil {
		err = encrypted.HandshakeContext(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("encrypt the connection to a member: %w", err)
	}
	return encrypted, nil
}
