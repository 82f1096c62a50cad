package failover

import (
	"context"
	"database/sql/driver"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// session is what pgx gives database/sql; under another name, so that its method Conn can be seen.
type session = stdlib.Conn

// Conn is one session in the pool. Its method Conn gives the one of pgx, inside of sql.Conn's Raw.
type Conn struct {
	*session
	connector *Connector
	host      string
	wire      *wire
	entered   atomic.Bool // it is logged in

	unreplicated atomic.Bool // a COMMIT was cut short while it waited for standbys

	mu      sync.Mutex
	facts   facts
	checked time.Time // when it last answered a check
	used    time.Time // when it last came from the pool
}

func newConn(ctx context.Context, c *Connector, h host) (*Conn, error) {
	conn := &Conn{connector: c, host: h.name}
	config := h.config.Copy()
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if conn.entered.Load() { // it is for a request to cancel, whose end says nothing
			return dial(ctx, network, address, func() {})
		}
		w, err := dial(ctx, network, address, c.doubt)
		if err != nil {
			return nil, err
		}
		conn.wire = w // the last one stays: pgx tries ways to encrypt one after the other
		return w, nil
	}
	config.OnNotice = conn.notice(config.OnNotice)
	config.OnPgError = conn.failure(config.OnPgError)
	inner, err := stdlib.GetConnector(*config, stdlib.OptionShouldPing(never)).Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn.session = inner.(*session)
	conn.entered.Store(true)
	c.mu.Lock()
	c.open[conn] = struct{}{}
	c.mu.Unlock()
	return conn, nil
}

// never has pgx leave the checks to us.
func never(context.Context, stdlib.ShouldPingParams) bool { return false }

// notice remembers that a COMMIT waited no longer for its standbys (SyncRepWaitForLSN of syncrep.c). The server has no
// code for that, and its text is translated; the name of the function is not.
func (c *Conn) notice(next pgconn.NoticeHandler) pgconn.NoticeHandler {
	return func(conn *pgconn.PgConn, n *pgconn.Notice) {
		if n.Routine == "SyncRepWaitForLSN" {
			c.unreplicated.Store(true)
		}
		if next != nil {
			next(conn, n)
		}
	}
}

// failure hears of errors that speak against other connections too.
func (c *Conn) failure(next pgconn.PgErrorHandler) pgconn.PgErrorHandler {
	return func(conn *pgconn.PgConn, e *pgconn.PgError) bool {
		switch Classify(e) {
		case Lost, ReadOnly, Unknown:
			c.connector.doubt()
		}
		return next(conn, e)
	}
}

func (c *Conn) epoch() Epoch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.facts.epoch
}

// check asks the server what it is.
func (c *Conn) check(ctx context.Context) error {
	asked := time.Now()
	f, err := ask(ctx, c.session.Conn().PgConn())
	if err != nil {
		return err
	}
	if f.standby != "" {
		return &standbyError{why: f.standby}
	}
	c.mu.Lock()
	c.facts, c.checked, c.used = f, asked, asked
	c.mu.Unlock()
	if c.connector.learn(f.epoch, c.host) {
		return &standbyError{why: "it is a primary of the past, on " + f.epoch.String()}
	}
	return nil
}

// ResetSession implements driver.SessionResetter: before a session is used again, it is checked if it was idle for long
// or if anything speaks against it. One that fails the check is dropped, and the pool opens another one, which waits for
// a server if it has to. So a change of the primary is no error.
func (c *Conn) ResetSession(ctx context.Context) error {
	if err := c.session.ResetSession(ctx); err != nil {
		return driver.ErrBadConn
	}
	if !c.due() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.connector.Dial)
	defer cancel()
	if err := c.check(ctx); err != nil {
		if Classify(err) == ReadOnly {
			c.connector.doubt()
		}
		return driver.ErrBadConn
	}
	return nil
}

// due says whether the session must be checked before it is used.
func (c *Conn) due() bool {
	c.connector.mu.Lock()
	doubted := c.connector.doubted
	c.connector.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	idle := now.Sub(c.used) > c.connector.Idle
	c.used = now
	return idle || !c.checked.After(doubted) || c.wire.peek()
}

// IsValid implements driver.Validator: a session that goes back to the pool stays if it is open and not at a server
// whose time is over.
func (c *Conn) IsValid() bool {
	c.connector.mu.Lock()
	latest := c.connector.epoch
	c.connector.mu.Unlock()
	c.mu.Lock()
	c.used = time.Now()
	past := c.facts.epoch.before(latest)
	c.mu.Unlock()
	// Behind one address the same session may have been moved to the new primary; the next check tells.
	return !c.session.Conn().IsClosed() && (!past || len(c.connector.hosts) == 1)
}

// cut ends the session, whatever it waits for.
func (c *Conn) cut() { _ = c.wire.Close() } // its user hears of it

// Close implements driver.Conn.
func (c *Conn) Close() error {
	c.connector.forget(c)
	return c.session.Close()
}

// Conn is the session of pgx.
func (c *Conn) Conn() *pgx.Conn { return c.session.Conn() }
