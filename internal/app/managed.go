package app

import (
	"context"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/cluster/bare"
	"github.com/backstaydb/backstay/internal/cluster/keeper"
	"github.com/backstaydb/backstay/internal/cluster/receiver"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/proxy/renew"
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
	aside  *aside
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
