// Package redis is the engine for Redis and Valkey servers, which can be members of a cluster: it asks them for their role. They
// can't be protected yet.
//
// It speaks as much of RESP (https://redis.io/docs/latest/develop/reference/protocol-spec/) as AUTH and INFO need.
package redis

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/secret"
)

// Engine is the engine for Redis servers. The zero value is ready for use.
type Engine struct{}

var _ engine.Member = Engine{}

// Kind is "redis".
func (Engine) Kind() string { return "redis" }

// Member returns who asks the server at redis://[USER@]HOST[:PORT][?auth=REFERENCE], or rediss:// with encryption. auth says where the
// password is found, as in env:REDIS_AUTH.
func (Engine) Member(raw string) (engine.Looker, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("read URL: want redis://HOST:PORT") // the cause would show it
	}
	q := u.Query()
	l := &looker{address: u.Host, user: u.User.Username(), auth: q.Get("auth")}
	l.Dial, l.Ask = l.dial, look
	l.Drop = func(c *conn) { _ = c.Close() } // nothing is under way on it
	l.Explain = func(_ context.Context, err error) error { return fmt.Errorf("look at %s: %w", l.address, err) }
	q.Del("auth")
	switch {
	case u.Hostname() == "" || len(q) > 0 || u.Path != "" && u.Path != "/":
		return nil, errors.New("read URL: want redis://[USER@]HOST[:PORT][?auth=env:NAME]")
	case l.auth != "" && !secret.IsReference(l.auth):
		return nil, engine.WithHint("say where the password is found: auth=env:NAME or auth=file:PATH", "read URL: auth is no reference")
	}
	if u.Port() == "" {
		l.address = net.JoinHostPort(u.Hostname(), "6379")
	}
	if u.Scheme == "rediss" {
		l.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	return l, nil
}

// looker asks one server.
type looker struct {
	address, user, auth string
	tls                 *tls.Config
	engine.Kept[*conn]
}

// Address implements engine.Looker.
func (l *looker) Address() string { return l.address }

// conn is a connection with what was read ahead.
type conn struct {
	net.Conn
	in *bufio.Reader
}

func (l *looker) dial(ctx context.Context) (*conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", l.address)
	if err != nil {
		return nil, err
	}
	if l.tls != nil {
		encrypted := tls.Client(raw, l.tls)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			_ = raw.Close() // the error says more
			return nil, err
		}
		raw = encrypted
	}
	c := &conn{raw, bufio.NewReader(raw)}
	if l.auth == "" {
		return c, nil
	}
	password, err := secret.Find(ctx, l.auth)
	if err == nil {
		words := []string{"AUTH", password}
		if l.user != "" {
			words = []string{"AUTH", l.user, password}
		}
		_, err = c.ask(ctx, words...)
	}
	if err != nil {
		_ = raw.Close() // the error says more
		return nil, fmt.Errorf("log in: %w", err)
	}
	return c, nil
}

func look(ctx context.Context, c *conn) (engine.Sight, error) {
	text, err := c.ask(ctx, "INFO", "replication")
	if err != nil {
		return engine.Sight{}, err
	}
	s, err := sight(text)
	if err != nil {
		return s, err
	}
	server, err := c.ask(ctx, "INFO", "server")
	s.Version = field(server, "redis_version")
	return s, err
}

// sight reads what INFO replication says.
func sight(text string) (engine.Sight, error) {
	s := engine.Sight{Role: engine.RolePrimary, Lag: -1}
	offset := field(text, "master_repl_offset")
	switch role := field(text, "role"); role {
	case "master":
	case "slave":
		s.Role = engine.RoleReplica
		if own := field(text, "slave_repl_offset"); own != "" {
			offset = own
		}
		if link := field(text, "master_link_status"); link != "up" {
			s.Broken = "its link to " + field(text, "master_host") + ":" + field(text, "master_port") + " is " + link
		}
	default:
		return s, fmt.Errorf("read INFO: role %q", role)
	}
	if n, err := strconv.ParseUint(offset, 10, 64); err == nil {
		s.Position = history.Position{Seq: n, Mark: offset}
	}
	return s, nil
}

// field is one line's value of an answer to INFO.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
