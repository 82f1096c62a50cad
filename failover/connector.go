package failover

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Config of a Connector. What is zero has the value in brackets.
type Config struct {
	Wait   time.Duration // how long a connection may wait for a server that can be written to [20s]
	Dial   time.Duration // how long one server may take to let in, and to answer a check [3s]
	Idle   time.Duration // a connection that nobody used for so long is checked before it is [1s]
	Marker string        // a table for outcomes of COMMIT, made by MarkerSQL; "" for none

	// Changed is called when another epoch is seen than before, on the goroutine that saw it; it must not wait.
	Changed func(Epoch)
}

func (c Config) filled() Config {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&c.Wait, 20*time.Second)
	set(&c.Dial, 3*time.Second)
	set(&c.Idle, time.Second)
	return c
}

// Connector leads to the server that can be written to. It is a driver.Connector.
type Connector struct {
	Config
	hosts []host

	mu      sync.Mutex
	epoch   Epoch
	best    int       // of hosts: where the primary was last
	doubted time.Time // when something was last seen that speaks against the connections that there are
	open    map[*Conn]struct{}
}

// host is one server of the URL.
type host struct {
	name   string // host:port, or the socket
	config *pgx.ConnConfig
}

// NewConnector makes a Connector for a URL, or a string of keywords, as libpq takes it. target_session_attrs is not
// needed and not looked at.
func NewConnector(url string, c Config) (*Connector, error) {
	parsed, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err // pgx leaves the password out
	}
	return &Connector{Config: c.filled(), hosts: hostsOf(parsed), open: map[*Conn]struct{}{}}, nil
}

// Open gives a pool whose connections lead to the server that can be written to. It connects to nothing yet.
func Open(url string, c Config) (*sql.DB, error) {
	connector, err := NewConnector(url, c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// hostsOf takes the servers of a URL apart. Those of one host that follow each other are ways to encrypt.
func hostsOf(c *pgx.ConnConfig) (all []host) {
	c.ValidateConnect = nil
	ways := append([]*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	for _, way := range ways {
		name := net.JoinHostPort(way.Host, strconv.Itoa(int(way.Port)))
		if n := len(all); n > 0 && all[n-1].name == name {
			all[n-1].config.Fallbacks = append(all[n-1].config.Fallbacks, way)
			continue
		}
		one := c.Copy()
		one.Host, one.Port, one.TLSConfig, one.Fallbacks = way.Host, way.Port, way.TLSConfig, nil
		all = append(all, host{name: name, config: one})
	}
	return all
}

// Driver implements driver.Connector.
func (c *Connector) Driver() driver.Driver { return pool{c} }

// pool is the driver of a Connector's pools; RunTx finds the Connector by it.
type pool struct{ *Connector }

// Open implements driver.Driver. A Connector has its URL, so there is nothing to open by name.
func (p pool) Open(string) (driver.Conn, error) {
	return nil, fmt.Errorf("open a connection by name: use sql.OpenDB with a failover.Connector")
}

// Epoch is the highest one that was seen.
func (c *Connector) Epoch() Epoch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch
}

// doubt has each connection that is open now checked before it is used again.
func (c *Connector) doubt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubted = time.Now()
}

// learn takes the epoch of a server that can be written to, and says whether it is one of the past. Where a later one is
// somewhere else, sessions of the one before are ended at once: what they wait for would not count.
func (c *Connector) learn(e Epoch, at string) (past bool) {
	c.mu.Lock()
	if e.before(c.epoch) {
		c.mu.Unlock()
		return true
	}
	changed := e != c.epoch
	known := c.epoch.System != ""
	c.epoch = e
	var over []*Conn
	if changed {
		c.doubted = time.Now()
		for conn := range c.open {
			if was := conn.epoch(); conn.host != at && was != e && was != (Epoch{}) {
				over = append(over, conn)
			}
		}
	}
	c.mu.Unlock()
	for _, conn := range over {
		conn.cut()
	}
	if changed && known && c.Changed != nil {
		c.Changed(e)
	}
	return false
}

func (c *Connector) prefer(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.best = i
}

func (c *Connector) forget(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// enter opens a session at one server, and refuses one that can't be written to or is of the past.
func (c *Connector) enter(ctx context.Context, h host) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Dial)
	defer cancel()
	conn, err := newConn(ctx, c, h)
	if err != nil {
		return nil, err
	}
	if err := conn.check(ctx); err != nil {
		_ = conn.Close() // it was not used
		return nil, err
	}
	return conn, nil
}
