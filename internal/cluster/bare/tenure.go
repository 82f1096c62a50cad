package bare

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/route"
)

// holds reports whether this member may be made primary of epoch now.
func (m *Member) holds(epoch uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tenure.Epoch == epoch && m.tenure.Left(m.now()) > 0
}

// round renews the tenure while the server is primary and commanded from here, and reads the state else.
func (m *Member) round(ctx context.Context) {
	m.mu.Lock()
	epoch, fresh := m.state.Epoch, m.asked != cluster.Never && m.now()-m.asked < m.c.Cluster.After
	led := m.holding && fresh && m.seen.primary && m.seen.led == epoch && m.seen.promised <= epoch
	m.mu.Unlock()
	if !led {
		epoch = 0
	}
	m.beat(ctx, epoch)
}

// beat counts up the state's beat where this member holds epoch; else it only reads.
func (m *Member) beat(ctx context.Context, epoch uint64) {
	ctx, stop := context.WithTimeout(ctx, m.c.Cluster.Lease/2)
	defer stop()
	for range 5 {
		e, err := m.c.Store.Get(ctx, m.c.Key)
		if err != nil || m.learn(e) != nil {
			return
		}
		m.mu.Lock()
		reached := history.At(m.seen.timeline, m.seen.at)
		next, ok := m.state.Renewed(m.c.Member, epoch, reached, m.lives(m.state.Proxies))
		m.mu.Unlock()
		if !ok {
			return
		}
		value, err := json.Marshal(next)
		if err != nil {
			return
		}
		sent := m.now()
		e, err = m.c.Store.Swap(ctx, m.c.Key, e.Revision, value)
		if errors.Is(err, lease.ErrStale) {
			continue
		}
		if err != nil {
			return
		}
		e.Value = value
		if m.learn(e) == nil {
			m.renew(epoch, sent)
		}
		return
	}
}

// renew extends the tenure, unless a newer epoch was read since.
func (m *Member) renew(epoch uint64, sent time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.Epoch > epoch {
		return
	}
	for id := range m.dropped {
		if !slices.Contains(m.state.Proxies, id) {
			delete(m.dropped, id)
		}
	}
	m.tenure = m.tenure.Renew(epoch, sent, m.c.Cluster.Lease)
}

// learn takes in a state that was read, unless a newer one was.
func (m *Member) learn(e lease.Entry) error {
	var s cluster.State
	if e.Revision > 0 {
		if err := json.Unmarshal(e.Value, &s); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known && e.Revision < m.revision {
		return nil
	}
	m.known, m.revision, m.state = true, e.Revision, s
	m.want = slices.DeleteFunc(m.want, func(id route.ID) bool { return slices.Contains(s.Proxies, id) })
	if s.Epoch > m.tenure.Epoch {
		m.tenure = m.tenure.End()
	}
	return nil
}

// lives are those of recorded that may still have a route, and those that are to be given one. Called with the lock.
func (m *Member) lives(recorded []route.ID) []route.ID {
	gone, now := 4*m.c.Cluster.Lease, m.now()
	var out []route.ID
	for _, id := range recorded {
		if now-max(m.booted, m.granted[id]) < gone { // what an earlier life of this process gave is not known, but over by then
			out = append(out, id)
		} else {
			m.dropped[id] = true
			delete(m.granted, id)
		}
	}
	for _, id := range m.want {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// Grant implements peer.Granter, as an agent does.
func (m *Member) Grant(ctx context.Context, ask route.Ask) (route.Route, error) {
	if r, done, err := m.grant(ask); done {
		return r, err
	}
	m.mu.Lock()
	if !slices.Contains(m.want, ask.Proxy) {
		m.want = append(m.want, ask.Proxy)
	}
	m.mu.Unlock()
	m.round(ctx)
	if r, done, err := m.grant(ask); done {
		return r, err
	}
	return route.Route{}, m.refuse("has not recorded proxy %s yet", ask.Proxy)
}

func (m *Member) grant(ask route.Ask) (r route.Route, done bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	left := m.tenure.Left(now)
	if !m.known || m.state.Holder() != m.c.Member || left <= 0 || m.tenure.Epoch != m.state.Epoch {
		return r, true, m.refuse("holds no epoch of %s here", m.c.Cluster.Cluster)
	}
	if !slices.Contains(m.state.Proxies, ask.Proxy) || m.dropped[ask.Proxy] {
		return r, false, nil
	}
	m.granted[ask.Proxy] = now
	r = m.state.Route(m.c.Cluster, min(left, m.c.Cluster.Lease))
	if r.State == route.Closed {
		return r, true, nil
	}
	for _, p := range m.c.Cluster.Peers {
		if p.Name == m.c.Member || p.Receiver {
			continue
		}
		have := route.Replica{Member: p.Name, Unknown: true}
		for _, s := range m.seen.replicas {
			if s.Member == p.Name {
				have = s
			}
		}
		have.Address = p.Address
		r.Replicas = append(r.Replicas, have)
	}
	return r, true, nil
}
