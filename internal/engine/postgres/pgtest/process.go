package pgtest

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
)

// limit is how long a server of a test may take for anything.
const limit = 60 * time.Second

// Start starts the server and waits until it takes connections.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	if err := c.TryStart(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.end(t) })
}

// TryStart is Start without a test that fails. Who calls it stops the server.
func (c *Cluster) TryStart() error {
	if c.Running() {
		return fmt.Errorf("the server in %s runs already", c.Dir)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	s, err := server.Start(ctx, server.Config{
		Programs: c.Programs, Dir: c.Dir, User: c.user, Own: true, SocketDir: c.sockets, Settings: c.overrides,
		Listen: "127.0.0.1:" + strconv.Itoa(c.Port),
	})
	if err != nil {
		return err
	}
	c.server = s
	if err := s.Ready(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, s.Tail())
	}
	return nil
}

// Running says whether the server runs.
func (c *Cluster) Running() bool { return c.server != nil && c.server.Err() == nil }

// Server is the running server.
func (c *Cluster) Server() *server.Server { return c.server }

// Stop ends the server cleanly. It waits for standbys to take all that there is, as every clean stop does.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	c.stop(t, server.Fast)
}

func (c *Cluster) stop(t testing.TB, m server.Mode) {
	t.Helper()
	if !c.Running() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := c.server.Stop(ctx, m); err != nil {
		t.Errorf("%v\n%s", err, c.server.Tail())
	}
}

// end is for the end of the test.
func (c *Cluster) end(t testing.TB) { c.stop(t, server.Immediate) }

// Restart stops the server cleanly and starts it.
func (c *Cluster) Restart(t testing.TB) {
	t.Helper()
	c.Stop(t)
	c.Start(t)
}

// Reload has the server read its configuration files again.
func (c *Cluster) Reload(t testing.TB) {
	t.Helper()
	c.Exec(t, "select pg_reload_conf()")
}

// Crash kills all processes of the server with kill -9 at one moment.
func (c *Cluster) Crash(t testing.TB) {
	t.Helper()
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
}
