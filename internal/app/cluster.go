package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/cluster/router"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/proxy/postgres"
)

// clustered is one cluster of the file, as this host runs it: the addresses at which applications reach it, and what keeps their
// route.
type clustered struct {
	name   string
	config config.Cluster
	host   *Host
	table  *proxy.Table
	doors  []*door

	router  *router.Router // somebody else decides who is primary
	managed *managed       // Backstay does
}

// door is one address of a cluster.
type door struct {
	role     string // rw, ro or health
	address  string
	listener *proxy.Listener // nil for health
	carrier  proxy.Carrier
	runs     func(context.Context) error // of the carrier; nil: nothing

	mu     sync.Mutex
	socket net.Listener // nil: not open
	err    error        // why not
}

// openCluster builds a cluster of the file for this host, and opens no socket of its listeners.
func (d *daemon) openCluster(h *Host, name string) (*clustered, error) {
	if !h.Config.Clusters[name].Managed() {
		return h.openRouted(name, d.name, func(change router.Change) { d.changed(name, change) })
	}
	c := &clustered{name: name, config: h.Config.Clusters[name], host: h}
	if l := c.config.Listen; l.Listens(d.name) && l.Any() {
		c.table = proxy.NewTable()
	}
	var err error
	if c.managed, err = d.house.openManaged(h, name, c.table, func(e managedEvent) { d.hear(name, e) }); err != nil {
		return nil, err
	}
	if c.table != nil {
		err = c.build(c.managed.lookers, c.managed.reachable)
	}
	if err != nil {
		c.managed.close()
	}
	return c, err
}

// openRouted builds a cluster that somebody else manages. told hears of each change of the primary; it may be nil.
func (h *Host) openRouted(name, host string, told func(router.Change)) (*clustered, error) {
	c := &clustered{name: name, config: h.Config.Clusters[name], host: h, table: proxy.NewTable()}
	var members []router.Member
	var lookers []engine.Looker
	for _, member := range c.config.Order {
		m := c.config.Members[member]
		if m.Receiver { // it is no server
			continue
		}
		l, err := lookerOf(m.URL)
		if err != nil {
			return nil, &ClusterError{Cluster: name, Member: member, Err: err}
		}
		members, lookers = append(members, router.Member{Name: member, Priority: m.Priority, Looker: l}), append(lookers, l)
	}
	c.router = router.New(router.Config{Cluster: name, Members: members, Table: c.table, After: time.Duration(c.config.Failover.After), Told: told, Log: h.Log})
	if !c.config.Listen.Listens(host) {
		return c, nil
	}
	return c, c.build(lookers, c.router.Reachable)
}

// build makes the doors.
func (c *clustered) build(members []engine.Looker, reachable func() []engine.Looker) error {
	l := c.config.Listen
	common := proxy.Config{MaxLag: time.Duration(l.MaxLag), Wait: time.Duration(l.Wait), Clients: l.Max, Header: l.Header}
	for _, e := range []struct {
		name, address string
		role          proxy.Role
	}{{"rw", l.RW, proxy.Write}, {"ro", l.RO, proxy.Read}} {
		if e.address == "" {
			continue
		}
		common.Role = e.role
		d := &door{role: e.name, address: e.address, listener: proxy.NewListener(c.table, common)}
		if err := c.carry(d, members, reachable); err != nil {
			return err
		}
		c.doors = append(c.doors, d)
	}
	if l.Health != "" {
		c.doors = append(c.doors, &door{role: "health", address: l.Health})
	}
	return nil
}

// carry gives a door what speaks its protocol.
func (c *clustered) carry(d *door, members []engine.Looker, reachable func() []engine.Looker) error {
	if kind := c.config.Kind(); cmpKind(kind) != "postgres" {
		d.carrier = proxy.TCP{Listener: d.listener}
		return nil
	}
	known := newVerifiers(reachable)
	o := postgres.Config{Verifiers: known.find, PassTLS: c.config.Listen.Pass, Ask: time.Duration(c.config.Listen.Idle), Log: c.host.Log.Info}
	for _, l := range members {
		if s, ok := l.(engine.Secured); ok && s.TLS() != nil {
			o.Members = s.TLS()
		}
	}
	if files := c.config.Listen.TLS; files != nil {
		var err error
		if o.TLS, err = certificate(c.host.Config.Dir(), files); err != nil {
			return &ClusterError{Cluster: c.name, Err: err}
		}
	}
	carrier := postgres.New(d.listener, o)
	d.carrier, d.runs = carrier, carrier.Run
	return nil
}

// certificate reads what is shown to clients anew when it is older than a minute, so that it may be renewed.
func certificate(dir string, files *config.TLS) (*tls.Config, error) {
	at := func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	load := func() (*tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(at(files.Cert), at(files.Key))
		if err != nil {
			return nil, fmt.Errorf("read the certificate for clients: %w", err)
		}
		return &c, nil
	}
	shown, err := load()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	read := time.Now()
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(read) > time.Minute {
			if next, err := load(); err == nil { // else the one of before goes on
				shown = next
			}
			read = time.Now()
		}
		return shown, nil
	}}, nil
}

func cmpKind(scheme string) string {
	if kind, ok := otherKinds[scheme]; ok {
		return kind
	}
	return scheme
}

// listen opens the sockets.
func (c *clustered) listen() error {
	for _, d := range c.doors {
		if err := d.open(); err != nil {
			c.unlisten()
			return &ClusterError{Cluster: c.name, Err: err}
		}
	}
	return nil
}

func (d *door) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.socket != nil {
		return nil
	}
	d.socket, d.err = net.Listen("tcp", d.address)
	if d.err != nil {
		d.err = &PortError{Door: d.role, Address: d.address, Err: d.err}
	}
	return d.err
}

// unlisten closes sockets of a cluster that never ran.
func (c *clustered) unlisten() {
	for _, d := range c.doors {
		d.mu.Lock()
		if d.socket != nil {
			_ = d.socket.Close() // nobody was served through it
			d.socket = nil
		}
		d.mu.Unlock()
	}
}

// run leads clients until ctx ends.
func (c *clustered) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if c.managed != nil {
		g.Go(func() error { return c.managed.run(ctx) })
	} else {
		g.Go(func() error { return c.router.Run(ctx) })
	}
	for _, d := range c.doors {
		g.Go(func() error { return c.serve(ctx, d) })
	}
	return g.Wait()
}

// serve serves one door. A port that was taken by a reload's file is tried again until it is free.
func (c *clustered) serve(ctx context.Context, d *door) error {
	for said := false; ; said = true {
		err := d.open()
		if err == nil {
			break
		}
		if !said {
			c.host.Log.Error("an address cannot be listened on; trying again", "cluster", c.name, "err", err)
		}
		if err := backoff.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	if d.listener == nil {
		return serveHealth(ctx, d.socket, c.health())
	}
	g, ctx := errgroup.WithContext(ctx)
	if d.runs != nil {
		g.Go(func() error { return d.runs(ctx) })
	}
	g.Go(func() error { return d.listener.Serve(ctx, d.socket, d.carrier) })
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// health answers load balancers, and applications that ask where the primary is.
func (c *clustered) health() http.Handler {
	mux := http.NewServeMux()
	for _, d := range c.doors {
		if d.listener != nil {
			mux.Handle("GET /"+d.role, d.listener.Health())
		}
	}
	mux.HandleFunc("GET /primary", func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, primaryOf(c.table.View())) })
	return mux
}

// status shows the cluster.
func (c *clustered) status() api.Cluster {
	if c.managed != nil {
		return c.managedStatus()
	}
	s := c.router.Status()
	out := api.Cluster{Name: c.name, Kind: cmpKind(c.config.Kind()), Mode: string(c.config.Failover.Mode), Running: true, State: string(c.table.View().Open()),
		Primary: s.Primary, Epoch: s.Epoch, Reason: s.Reason, Members: shownMembers(c.config, s, c.host.Now())}
	out.Listeners = c.listeners()
	return out
}

func (c *clustered) listeners() []api.ClusterListener {
	var all []api.ClusterListener
	for _, d := range c.doors {
		if d.listener != nil {
			all = append(all, d.status())
		}
	}
	return all
}

func (d *door) status() api.ClusterListener {
	n := d.listener.Snapshot()
	out := api.ClusterListener{Role: d.role, Address: d.address, Open: n.Open, Held: n.Held, Accepted: n.Accepted, Refused: n.Refused, Expired: n.Expired,
		Failed: n.Failed, Moved: n.Moved, Unmoved: n.Unmoved, Severed: n.Severed, Unknown: n.Unknown, Up: n.Up, Down: n.Down}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		out.Error = d.err.Error()
	}
	return out
}

// shownMembers shows members as a router sees them.
func shownMembers(c config.Cluster, s router.Status, now time.Time) []api.ClusterMember {
	all := []api.ClusterMember{}
	for _, m := range s.Members {
		shown := api.ClusterMember{Name: m.Name, Address: m.Address, Host: c.Members[m.Name].Host, Role: string(m.Sight.Role), Timeline: m.Sight.Position.Timeline,
			Position: m.Sight.Position.Mark, LagSeconds: -1, LagBytes: m.Bytes, Version: m.Sight.Version, Error: m.Err, NoFailover: c.Members[m.Name].NoFailover}
		if m.Lag >= 0 {
			shown.LagSeconds = m.Lag.Seconds()
		}
		if m.Answered >= 0 {
			shown.Answered = now.Add(-m.Answered).UTC()
		}
		if m.Err != "" || m.Answered < 0 {
			shown.Role = "unknown"
		} else if m.Sight.Broken != "" {
			shown.Error = m.Sight.Broken
		}
		all = append(all, shown)
	}
	return all
}

// ClusterError is something wrong with a cluster or one of its members.
type ClusterError struct {
	Cluster, Member string // Member is "" where it is about all
	Err             error
}

func (e *ClusterError) Error() string {
	if e.Member == "" {
		return "cluster " + e.Cluster + ": " + e.Err.Error()
	}
	return "cluster " + e.Cluster + ": member " + e.Member + ": " + e.Err.Error()
}

func (e *ClusterError) Unwrap() error { return e.Err }

// PortError is an address that can't be listened on.
type PortError struct {
	Door, Address string
	Err           error
}

func (e *PortError) Error() string {
	why := e.Err
	var op *net.OpError
	if errors.As(e.Err, &op) {
		why = op.Err // the address is said already
	}
	return fmt.Sprintf("listen on %s for %s: %v", e.Address, e.Door, why)
}

func (e *PortError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *PortError) Hint() string {
	return "choose another port under listen, or stop what listens there"
}

// sameCluster reports whether a reload changes nothing for a cluster.
func sameCluster(a, b *config.Config, name string) bool {
	return slices.Equal(clusterText(a, name), clusterText(b, name))
}
