package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/cluster/bare"
	"github.com/backstaydb/backstay/internal/cluster/keeper"
	"github.com/backstaydb/backstay/internal/cluster/receiver"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/proxy/renew"
	"github.com/backstaydb/backstay/internal/route"
)

// managed is what this host does for a cluster whose primary Backstay decides on: an agent for each member on this host, a keeper, and the
// renewal of its proxy's route.
type managed struct {
	name    string
	host    *Host
	house   *house
	config  config.Cluster
	decided cluster.Config

	agents map[string]*agent.Agent // of members on this host
	bare   map[string]*bare.Member // those without an agent anywhere, which every keeper reaches over SQL alone
	guards []*guarding

	receiver *receiver.Receiver // of this host; nil: it has none

	holds   []func() // of the data of members on this host
	servers []*member.Server
	keeper  *keeper.Keeper
	members map[string]peer.Member // all of them
	renewer *renew.Renewer         // nil: nobody listens here
	lookers []engine.Looker        // of the servers, for what clients need to know of them
	events  chan keeper.Event      // to be told to people
	say     func(managedEvent)
}

// stateKey names the document that keeps a cluster's state: a plain name, as every store takes it.
func stateKey(cluster string) string {
	return "cluster-" + strings.ReplaceAll(cluster, ".", "=")
}

// openManaged builds what this host does for a cluster. table is that of its listeners; nil: it has none here. told hears what is decided.
func (o *house) openManaged(h *Host, name string, table *proxy.Table, say func(managedEvent)) (m *managed, err error) {
	m = &managed{name: name, host: h, house: o, config: h.Config.Clusters[name], decided: h.decided(name), agents: map[string]*agent.Agent{}, bare: map[string]*bare.Member{}, members: map[string]peer.Member{},
		events: make(chan keeper.Event, 256), say: say}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if err := m.buildReceiver(); err != nil {
		return m, err
	}
	if err := m.buildAgents(say); err != nil {
		return m, err
	}
	for _, name := range m.config.Order {
		if err := m.buildMember(name, say); err != nil {
			return m, err
		}
	}
	if table != nil {
		m.renewer = renew.New(renew.Config{Cluster: name, Host: o.name, Table: table, Lease: m.decided.Lease, Holders: m.holders()})
	}
	var repository keeper.Repository
	if log := m.log(); log != nil && len(m.bare) < len(m.lookers) { // without an agent nobody could be given what it has
		repository = stored{log, map[uint32]history.Position{}}
	}
	m.keeper, err = keeper.New(keeper.Config{
		Repository: repository, Cluster: m.decided, Store: &o.coordination.store, Key: stateKey(name), Members: m.members, Proxies: m.proxies(), Hosts: m.hosts(), Host: o.name,
		Audit: auditor{h: say}, Tell: m.keep,
	})
	return m, err
}

// managedEvent is what a keeper or an agent tells, or has to be recorded before it is done.
type managedEvent struct {
	keeper *keeper.Event
	agent  *agent.Event
	record *keeper.Entry
	answer func(error) // of record
}

// auditor has decisions written down before they have an effect.
type auditor struct{ h func(managedEvent) }

// Record implements keeper.Auditor.
func (a auditor) Record(_ context.Context, e keeper.Entry) (err error) {
	a.h(managedEvent{record: &e, answer: func(wrong error) { err = wrong }})
	return err
}

// buildAgents makes the agents of this host's members.
func (m *managed) buildAgents(say func(managedEvent)) error {
	h := m.host
	for _, name := range m.config.Order {
		own := m.config.Members[name]
		if own.Host != m.house.name || own.Receiver {
			continue
		}
		c, err := m.serverOf(name)
		if err != nil {
			return &ClusterError{Cluster: m.name, Member: name, Err: err}
		}
		release, err := hold(c.Dir, fmt.Sprintf("pid %d, cluster %s of %s", os.Getpid(), m.name, h.Config.Path))
		if err != nil {
			return &ClusterError{Cluster: m.name, Member: name, Err: err}
		}
		m.holds = append(m.holds, release)
		m.lent(&c)
		c.Said = func(text string) { h.Log.Info(text, "cluster", m.name, "member", name) }
		s, err := member.New(c)
		if err != nil {
			return &ClusterError{Cluster: m.name, Member: name, Err: err}
		}
		m.servers = append(m.servers, s)
		var deadline *agent.Deadline
		if own.Guard {
			w, err := m.guard(name, c.Dir)
			if err != nil {
				return &ClusterError{Cluster: m.name, Member: name, Err: err}
			}
			m.guards, deadline = append(m.guards, w), w.deadline
		}
		a, err := agent.New(agent.Config{
			Deadline: deadline, Cluster: m.decided, Member: name, Dir: h.memberState(m.name, name), Store: &m.house.coordination.store, Key: stateKey(m.name), Server: s,
			Voucher: m.voucher, Tell: func(e agent.Event) { say(managedEvent{agent: &e}) },
		})
		if err != nil {
			return &ClusterError{Cluster: m.name, Member: name, Err: err}
		}
		m.agents[name] = a
	}
	return nil
}

// memberState is the folder of an agent.
func (h *Host) memberState(cluster, member string) string {
	return filepath.Join(h.State(), "members", cluster, member)
}

// serverOf is how this host's member is reached and acted on.
func (m *managed) serverOf(name string) (member.Config, error) {
	h, own := m.host, m.config.Members[name]
	c := member.Config{Name: name, Dir: own.Data, Members: map[string]string{}, Known: m.config.Order, Arguments: own.Arguments, Aside: filepath.Join(h.memberState(m.name, name), "aside")}
	if !filepath.IsAbs(c.Dir) {
		c.Dir = filepath.Join(h.Config.Dir(), c.Dir)
	}
	if own.Programs != "" {
		p, err := server.Open(own.Programs)
		if err != nil {
			return c, err
		}
		c.Programs = p
	}
	_, port, err := net.SplitHostPort(addressOf(own.URL))
	if err != nil {
		return c, err
	}
	c.URL = cmp.Or(own.Local, "postgres://postgres@/postgres?host=/var/run/postgresql&port="+port)
	for _, other := range m.config.Order {
		if other == name || m.config.Members[other].URL == "" {
			continue
		}
		info, err := conninfo(m.config.Members[other].URL)
		if err != nil {
			return c, err
		}
		c.Members[other] = info
	}
	return c, nil
}

// conninfo is a member's URL as libpq's keywords, for the settings of standbys.
func conninfo(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("read URL: it is not of the form postgres://user@host:5432") // the cause would show it
	}
	words := []string{"host=" + quoted(u.Hostname()), "port=" + cmp.Or(u.Port(), "5432"), "user=" + quoted(u.User.Username())}
	q := u.Query()
	for _, key := range []string{"sslmode", "sslrootcert", "sslcert", "sslkey", "passfile"} {
		if v := q.Get(key); v != "" {
			words = append(words, key+"="+quoted(v))
		}
	}
	return strings.Join(words, " "), nil
}

func quoted(v string) string {
	if v != "" && !strings.ContainsAny(v, ` '\`) {
		return v
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

// buildMember finds who answers for a member.
func (m *managed) buildMember(name string, say func(managedEvent)) error {
	own := m.config.Members[name]
	switch {
	case own.Receiver && m.receiver != nil:
		m.members[name] = m.receiver
		return nil
	case own.Receiver:
		m.members[name] = m.remote(name)
		return nil
	case m.agents[name] != nil:
		m.members[name] = m.agents[name]
	case own.Host != "":
		m.members[name] = m.remote(name)
	default:
		m.bare[name] = m.bareOf(name, say)
		m.members[name] = m.bare[name]
	}
	l, err := lookerOf(own.URL)
	if err != nil {
		return &ClusterError{Cluster: m.name, Member: name, Err: err}
	}
	m.lookers = append(m.lookers, l)
	return nil
}

// bareOf is a member that is reached over SQL alone.
func (m *managed) bareOf(name string, say func(managedEvent)) *bare.Member {
	h := m.host
	return bare.New(bare.Config{
		Cluster: m.decided, Member: name, Host: m.house.name, Store: &m.house.coordination.store, Key: stateKey(m.name), Alone: h.Config.Coordination == nil,
		URL: func() (string, error) { return m.config.Members[name].URL, nil },
		Upstream: func(from string) (string, error) {
			info, err := conninfo(m.config.Members[from].URL)
			return info + " application_name=" + quoted(name), err
		},
		Tell: func(e bare.Event) {
			say(managedEvent{agent: &agent.Event{Member: e.Member, What: "bare", Text: e.Text, Err: e.Err}})
		},
	})
}

func (m *managed) remote(name string) interface {
	peer.Member
	peer.Voucher
} {
	host := m.config.Members[name].Host
	return m.house.caller.Member(peer.Host{Name: host, Address: m.host.Config.PeerAddress(host)}, m.name, name)
}

// voucher is another member's agent.
func (m *managed) voucher(name string) peer.Voucher {
	switch own := m.config.Members[name]; {
	case own.Receiver:
		return nil
	case m.agents[name] != nil:
		return m.agents[name]
	case own.Host != "":
		return m.remote(name)
	}
	return nil
}

// holders are whom this host's proxy asks for its route: the members' agents.
func (m *managed) holders() []renew.Granter {
	var all []renew.Granter
	for _, name := range m.config.Order {
		own := m.config.Members[name]
		switch {
		case own.Receiver: // it holds no epoch
		case m.agents[name] != nil:
			all = append(all, renew.Granter{Member: name, Granter: m.agents[name]})
		case own.Host != "":
			all = append(all, renew.Granter{Member: name, Granter: m.granterAt(own.Host)})
		default: // the keeper that holds the lock on it, on whichever host
			all = append(all, renew.Granter{Member: name, Remote: true, Granter: m.bare[name]})
			for _, other := range m.host.otherHosts(m.house.name) {
				all = append(all, renew.Granter{Member: name, Remote: true, Granter: m.granterAt(other)})
			}
		}
	}
	return all
}

func (m *managed) granterAt(host string) peer.Granter {
	return m.house.caller.Granter(peer.Host{Name: host, Address: m.host.Config.PeerAddress(host)}, m.name)
}

// granters are those of this host that may hold the cluster's epoch. They speak as one.
type granters struct{ all []peer.Granter }

func (m *managed) granters() *granters {
	var g granters
	for _, name := range m.config.Order {
		if a := m.agents[name]; a != nil {
			g.all = append(g.all, a)
		} else if b := m.bare[name]; b != nil {
			g.all = append(g.all, b)
		}
	}
	return &g
}

// Grant implements peer.Granter.
func (g *granters) Grant(ctx context.Context, ask route.Ask) (r route.Route, err error) {
	err = peer.Refuse("no member of this cluster is held here")
	for _, a := range g.all {
		if r, err = a.Grant(ctx, ask); err == nil {
			return r, nil
		}
	}
	return r, err
}

// proxies are those that listen, by host.
func (m *managed) proxies() map[string]peer.Carrier {
	all := map[string]peer.Carrier{}
	if m.renewer != nil {
		all[m.house.name] = m.renewer
	}
	if m.config.Listen.RW == "" && m.config.Listen.RO == "" {
		return all
	}
	for _, other := range m.host.otherHosts(m.house.name) {
		if m.config.Listen.Listens(other) {
			all[other] = m.house.caller.Carrier(peer.Host{Name: other, Address: m.host.Config.PeerAddress(other)}, m.name)
		}
	}
	return all
}

// hosts say on which host each member is.
func (m *managed) hosts() map[string]string {
	all := map[string]string{}
	for name, own := range m.config.Members {
		if own.Host != "" {
			all[name] = own.Host
		}
	}
	return all
}

// close lets go of what never ran, and of what ran.
func (m *managed) close() {
	for _, s := range m.servers {
		s.Close()
	}
	for _, w := range m.guards {
		_ = w.deadline.Close() // it is only a view of memory
	}
	for _, release := range m.holds {
		release()
	}
	m.holds = nil
	for _, l := range m.lookers {
		_ = l.Close() // nothing is under way
	}
}

// keep takes what the keeper tells, which waits for nobody: what is told to people is written to a disk first.
func (m *managed) keep(e keeper.Event) {
	select {
	case m.events <- e:
	default: // nothing was taken for hundreds of events: the audit log has what was done
	}
}

// pass passes on what the keeper tells until ctx ends, and then what is left.
func (m *managed) pass(ctx context.Context) error {
	for {
		select {
		case e := <-m.events:
			m.say(managedEvent{keeper: &e})
		case <-ctx.Done():
			for range len(m.events) {
				e := <-m.events
				m.say(managedEvent{keeper: &e})
			}
			return ctx.Err()
		}
	}
}

// run does this host's part until ctx ends. The servers go on: whoever upgrades or restarts Backstay starts it again within the lease.
func (m *managed) run(ctx context.Context) error {
	defer m.close()
	m.house.add(m)
	defer m.house.remove(m.name)
	g, ctx := errgroup.WithContext(ctx)
	for _, a := range m.agents {
		g.Go(func() error { return a.Run(ctx) })
	}
	for _, s := range m.servers {
		g.Go(func() error { return s.Tend(ctx) })
	}
	for _, b := range m.bare {
		g.Go(func() error { return b.Run(ctx) })
	}
	for _, w := range m.guards {
		g.Go(func() error { return w.process.Run(ctx) })
	}
	g.Go(func() error { return m.keeper.Run(ctx) })
	g.Go(func() error { return m.pass(ctx) })
	if m.renewer != nil {
		g.Go(func() error { return m.renewer.Run(ctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// reachable are the servers to ask for what all of them know, those that answered last first.
func (m *managed) reachable() []engine.Looker {
	s := m.keeper.Status()
	answered := map[string]time.Duration{}
	for _, f := range s.View.Facts {
		for _, p := range m.decided.Peers {
			if p.Name == f.Name && (f.Role == cluster.Primary || f.Role == cluster.Standby) {
				answered[p.Address] = f.Answered
			}
		}
	}
	all := slices.Clone(m.lookers)
	slices.SortStableFunc(all, func(a, b engine.Looker) int { return cmp.Compare(answered[b.Address()], answered[a.Address()]) })
	return all
}
