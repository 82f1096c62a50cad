package postgres

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/route"
)

// Config of a Carrier.
type Config struct {
	Verifiers Verifiers     // nil: each login passes through, and no session is ever moved
	TLS       *tls.Config   // ends the clients' encryption here; nil: refused, unless PassTLS
	PassTLS   bool          // carries encrypted connections to the member as they are, unread and never moved
	Members   *tls.Config   // encrypts connections to members; nil: they are not
	Ask       time.Duration // a session that was idle for so long is asked what it holds, so that it survives the sudden end of the primary too; zero: only before a planned change
	Log       func(message string, args ...any)
}

// Carrier carries PostgreSQL's protocol.
type Carrier struct {
	Config
	listener *proxy.Listener
	secret   []byte        // of the salts of roles that do not exist
	movers   chan struct{} // logins under way that no client waits for
	early    chan struct{} // the same while clients work
	changed  chan struct{} // the route did
	settled  atomic.Pointer[proxy.View]
	said     atomic.Int64 // Unix time of the newest client that was refused for want of a verifier

	mu       sync.Mutex
	sessions map[*session]struct{}
	keys     map[[8]byte]*session // by what a CancelRequest names
}

// movers at a time: logins cost the servers a process each. While clients work there is time, and they are to notice nothing.
const (
	movers = 16
	early  = 3
)

// saidEvery is for how many seconds no client was refused for want of a verifier when that is logged again.
const saidEvery = 10

var errUntold = errors.New("read the verifier of a role")

// New makes a carrier for l's connections. Run must run while they are carried.
func New(l *proxy.Listener, c Config) *Carrier {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	return &Carrier{Config: c, listener: l, secret: secret, movers: make(chan struct{}, movers), early: make(chan struct{}, early), changed: make(chan struct{}, 1),
		sessions: map[*session]struct{}{}, keys: map[[8]byte]*session{}}
}

// Run brings each change of the route to all sessions, until ctx ends.
func (c *Carrier) Run(ctx context.Context) error {
	defer c.listener.Table.Join(c)()
	var tick <-chan time.Time
	if c.Ask > 0 {
		t := time.NewTicker(c.Ask)
		defer t.Stop()
		tick = t.C
	}
	for {
		v := c.listener.Table.View()
		for _, s := range c.all() {
			s.routed()
		}
		c.settled.Store(v)
		select {
		case <-c.changed:
		case <-tick:
			for _, s := range c.all() {
				s.linger()
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Routed implements proxy.Watcher.
func (c *Carrier) Routed(*proxy.View) {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Settled implements proxy.Watcher: all sessions have heard of v, and those that can be moved have logged in where it is to lead, or tried.
func (c *Carrier) Settled(v *proxy.View) bool {
	s := c.settled.Load()
	if s == nil || s.Compare(v.Route) != 0 || s.State != v.State || s.Target != v.Target {
		return false
	}
	return v.State != route.Serving || v.Target == "" || !slices.ContainsFunc(c.all(), func(s *session) bool { return !s.ready(v.Target) })
}

// Tried implements proxy.Watcher.
func (c *Carrier) Tried(now time.Duration) (oldest time.Duration) {
	for _, s := range c.all() {
		oldest = max(oldest, s.tried(now))
	}
	return oldest
}

func (c *Carrier) all() []*session {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*session, 0, len(c.sessions))
	for s := range c.sessions {
		all = append(all, s)
	}
	return all
}

// Carry implements proxy.Carrier.
func (c *Carrier) Carry(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(c.listener.Handshake))
	s, err := c.greet(ctx, conn)
	if err != nil {
		c.listener.Failed.Add(1)
		c.refuse(conn, err)
		return
	}
	if s == nil {
		_ = conn.Close()
		return
	}
	_ = s.client.SetDeadline(time.Time{})
	stop()
	s.run(ctx)
}

// refuse tells a client why there is no session for it.
func (c *Carrier) refuse(conn net.Conn, err error) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	var server *ServerError
	switch {
	case errors.As(err, &server):
		_, _ = conn.Write(server.raw)
	case errors.Is(err, errPassword):
		_, _ = conn.Write(fatal("28P01", "password authentication failed", ""))
	case errors.Is(err, errScram), errors.Is(err, errFrame):
		_, _ = conn.Write(fatal("08P01", "the login is not as the protocol has it", ""))
	case errors.Is(err, proxy.ErrNoPrimary):
		_, _ = conn.Write(fatal("57P03", proxy.ErrNoPrimary.Error(), "The cluster is choosing a new primary, or has none. Connect again in some seconds."))
	case errors.Is(err, proxy.ErrTooManyWait):
		_, _ = conn.Write(fatal("53300", proxy.ErrTooManyWait.Error(), ""))
	case errors.As(err, new(*net.OpError)):
		_, _ = conn.Write(fatal("57P03", "the server does not answer", ""))
	case errors.Is(err, errUntold):
		if now := time.Now().Unix(); now-c.said.Swap(now) >= saidEvery {
			c.Log("clients are refused: how they log in cannot be read from any server", "err", err)
		}
		_, _ = conn.Write(fatal("57P03", "how this role logs in cannot be read from any server", "The log of Backstay on this host says why."))
	}
}

// greet brings a connection to a session. Both results are nil where it wanted none.
func (c *Carrier) greet(ctx context.Context, conn net.Conn) (*session, error) {
	conn, first, err := c.open(ctx, conn)
	if err != nil || conn == nil {
		return nil, err
	}
	if first.code == codeCancel {
		c.cancel(ctx, first)
		return nil, conn.Close()
	}
	if first.code>>16 != 3 {
		return nil, fmt.Errorf("speak version %d.%d of the protocol: %w", first.code>>16, first.code&0xffff, errFrame)
	}
	p, extras, err := first.parameters()
	if err != nil {
		return nil, err
	}
	if first.code&0xffff != 0 || len(extras) > 0 {
		if _, err := conn.Write(negotiate(extras)); err != nil {
			return nil, err
		}
	}
	s := &session{carrier: c, client: conn, out: proxy.NewWriter(conn), parameters: p, wake: make(chan struct{}, 1)}
	return s, c.begin(ctx, s)
}

// begin logs the client in, here or at the member.
func (c *Carrier) begin(ctx context.Context, s *session) error {
	v, ended, err := c.verifier(ctx, s.parameters)
	if err != nil {
		return err
	}
	if !ended {
		return s.pass(ctx)
	}
	key, err := c.authenticate(ctx, s.client, s.parameters.get("user"), v)
	if err != nil {
		return err
	}
	s.login, s.movable = key, true
	b, err := s.reach(ctx)
	if err != nil {
		return err
	}
	hello := frame(nil, 'R', []byte{0, 0, 0, 0})
	hello = append(hello, b.greeting.statuses...)
	hello = frame(hello, 'K', c.register(s))
	hello = frame(hello, 'Z', []byte{'I'})
	s.install(b)
	s.track.reported = b.greeting.statuses
	_, err = s.client.Write(hello)
	if err != nil {
		s.end()
	}
	return err
}

// verifier says whether the login ends here, and with what.
func (c *Carrier) verifier(ctx context.Context, p parameters) (v verifier, ended bool, err error) {
	if r := p.get("replication"); c.Verifiers == nil || r != "" && r != "0" && r != "false" && r != "off" && r != "no" {
		return v, false, nil
	}
	role := p.get("user")
	kept, err := c.Verifiers(ctx, role)
	if errors.Is(err, ErrUnread) {
		return v, false, nil
	}
	if err != nil {
		return v, false, fmt.Errorf("%w: %w", errUntold, err)
	}
	if kept == "" {
		return mock(c.secret, role), true, nil
	}
	if v, err = parseVerifier(kept); err != nil {
		return v, false, nil // an older kind of password, which the server asks for itself
	}
	return v, true, nil
}

// register gives s a key for requests to cancel, and has it told of routes.
func (c *Carrier) register(s *session) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		_, _ = rand.Read(s.key[:]) // never fails
		s.key[0] &= 0x7f           // a process is a positive number
		if _, taken := c.keys[s.key]; !taken {
			break
		}
	}
	c.keys[s.key] = s
	c.sessions[s] = struct{}{}
	return s.key[:]
}

func (c *Carrier) forget(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, s)
	delete(c.keys, s.key)
}

// cancel passes a request to cancel on to the server that the session is at.
func (c *Carrier) cancel(ctx context.Context, r startup) {
	if len(r.body) != 8 {
		return
	}
	c.mu.Lock()
	s := c.keys[[8]byte(r.body)]
	c.mu.Unlock()
	if s == nil {
		return
	}
	address, key := s.where()
	if len(key) == 0 {
		return
	}
	ctx, stop := context.WithTimeout(ctx, c.listener.Dial)
	defer stop()
	conn, err := c.dial(ctx, address)
	if err != nil {
		return
	}
	defer conn.Close()
	c.listener.Cancels.Add(1)
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(key)))
	b = binary.BigEndian.AppendUint32(b, codeCancel)
	_ = conn.SetDeadline(time.Now().Add(c.listener.Dial))
	if _, err := conn.Write(append(b, key...)); err == nil {
		_, _ = conn.Read(b[:1]) // the server closes when it has sent the signal
	}
}
