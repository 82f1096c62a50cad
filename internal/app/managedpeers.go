package app

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/proxy/renew"
	"github.com/backstaydb/backstay/internal/route"
)

// remote is a member on another host: what its agent answers.
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
	if !m.config.Listen.Any() {
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
