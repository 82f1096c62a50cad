// Package tcp is the engine for servers of which nothing is known but that they take connections. They can be members of a
// cluster, in order of preference; they can't be protected.
package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/backstaydb/backstay/internal/engine"
)

// Engine is the engine for any TCP service. The zero value is ready for use.
type Engine struct{}

var _ engine.Member = Engine{}

// Kind is "tcp".
func (Engine) Kind() string { return "tcp" }

// Member returns who looks whether the server at tcp://host:port takes connections.
func (Engine) Member(raw string) (engine.Looker, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "tcp" || u.Hostname() == "" || u.Port() == "" || u.Path != "" && u.Path != "/" {
		return nil, errors.New("read URL: want tcp://HOST:PORT") // the cause would show it
	}
	return looker(u.Host), nil
}

// looker is the address of a server.
type looker string

// Address implements engine.Looker.
func (l looker) Address() string { return string(l) }

// Look implements engine.Looker: a server that takes a connection is as good as any other.
func (l looker) Look(ctx context.Context) (engine.Sight, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", string(l))
	if err != nil {
		return engine.Sight{}, fmt.Errorf("look at %s: %w", l, err)
	}
	return engine.Sight{Role: engine.RoleAny, Lag: -1}, conn.Close()
}

// Close implements engine.Looker.
func (l looker) Close() error { return nil }
