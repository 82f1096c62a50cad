package agent

import (
	"context"
	"fmt"
	"slices"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/route"
)

// Vouch implements peer.Voucher.
func (a *Agent) Vouch(_ context.Context, epoch uint64) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost {
		return false, peer.Refuse(a.c.Member + " does not know any more what it promised")
	}
	oath, ok := cluster.Oath{Promised: a.kept.Promised, Vouched: a.vouched}.Vouch(epoch, a.now())
	a.vouched = oath.Vouched
	return ok, nil
}

// Grant implements peer.Granter. A proxy's life is in the state before it is given a route.
func (a *Agent) Grant(ctx context.Context, ask route.Ask) (route.Route, error) {
	if a.behind(ask) {
		a.catchUp(ctx)
	}
	if r, ok, err := a.grant(ask); ok {
		return r, err
	}
	a.mu.Lock()
	recorded := slices.Contains(a.state.Proxies, ask.Proxy) && !a.dropped[ask.Proxy]
	if !recorded && !slices.Contains(a.want, ask.Proxy) {
		a.want = append(a.want, ask.Proxy)
	}
	epoch := a.state.Epoch
	a.mu.Unlock()
	a.beat(ctx, epoch)
	if r, ok, err := a.grant(ask); ok {
		return r, err
	}
	return route.Route{}, peer.Refuse("proxy " + ask.Proxy.String() + " is not recorded yet")
}

// behind reports whether the state should be read before ask is answered: it may have been opened meanwhile, or the proxy knows of a newer one.
func (a *Agent) behind(ask route.Ask) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state.Holder() == a.c.Member && a.state.Phase == cluster.Promoting || ask.Epoch > a.state.Epoch
}

// grant answers a life that is recorded. It reports false for one that is not.
func (a *Agent) grant(ask route.Ask) (r route.Route, ok bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	left := a.tenure.Left(now)
	if !a.known || a.state.Holder() != a.c.Member || left <= 0 || a.tenure.Epoch != a.state.Epoch || a.lost {
		return r, true, peer.Refuse(fmt.Sprintf("%s holds no epoch of %s now", a.c.Member, a.c.Cluster.Cluster))
	}
	if !slices.Contains(a.state.Proxies, ask.Proxy) || a.dropped[ask.Proxy] {
		return r, false, nil
	}
	a.asked[ask.Proxy] = now
	r = a.state.Route(a.c.Cluster, min(left, a.c.Cluster.Lease))
	if r.State != route.Closed {
		r.Replicas = a.replicas()
	}
	return r, true, nil
}

// replicas are where reads may go, as the primary sees them.
func (a *Agent) replicas() []route.Replica {
	var out []route.Replica
	for _, p := range a.c.Cluster.Peers {
		if p.Name == a.c.Member || p.Receiver {
			continue
		}
		r := route.Replica{Member: p.Name, Address: p.Address, Unknown: true}
		for _, s := range a.sight.Replicas {
			if s.Name == p.Name && a.sight.Role == cluster.Primary {
				r.Lag, r.Bytes, r.Unknown = s.Lag, s.Bytes, false
			}
		}
		out = append(out, r)
	}
	return out
}
