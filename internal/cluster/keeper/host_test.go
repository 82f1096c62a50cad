package keeper

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/peer"
)

// host runs one member. One that is down answers nobody, and its agent reaches nobody.
type host struct {
	w      *world
	name   string
	down   bool
	agent  *agent.Agent
	sight  agent.Sight
	quorum cluster.Quorum
	done   []string
	broken bool          // its server does not start
	cut    bool          // keepers don't reach it, its agent reaches the store
	slow   time.Duration // of Act
	late   time.Duration // of Probe
}

var errDown = errors.New("no route to host")

// reach is what the network does.
func (h *host) reach(ctx context.Context, pause func(*host) time.Duration) error {
	h.w.mu.Lock()
	down, wait := h.down, pause(h)
	h.w.mu.Unlock()
	if down {
		<-ctx.Done()
		return errDown
	}
	if wait == 0 {
		wait = time.Millisecond
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

func soon(*host) time.Duration { return 0 }

func (h *host) Probe(ctx context.Context) (peer.Report, error) {
	h.w.mu.Lock()
	cut := h.cut
	h.w.mu.Unlock()
	if cut {
		<-ctx.Done()
		return peer.Report{}, errDown
	}
	if err := h.reach(ctx, func(h *host) time.Duration { return h.late }); err != nil {
		return peer.Report{}, err
	}
	return h.agent.Probe(ctx)
}

func (h *host) Act(ctx context.Context, a cluster.Action) error {
	if err := h.reach(ctx, func(h *host) time.Duration { return h.slow }); err != nil {
		return err
	}
	return h.agent.Act(ctx, a)
}

func (h *host) Vouch(ctx context.Context, epoch uint64) (bool, error) {
	if err := h.reach(ctx, soon); err != nil {
		return false, err
	}
	return h.agent.Vouch(ctx, epoch)
}

// host is the store as its agent reaches it.
func (h *host) Get(ctx context.Context, key string) (lease.Entry, error) {
	if err := h.reach(ctx, soon); err != nil {
		return lease.Entry{}, err
	}
	return h.w.store.Get(ctx, key)
}

func (h *host) Swap(ctx context.Context, key string, from uint64, value []byte) (lease.Entry, error) {
	if err := h.reach(ctx, soon); err != nil {
		return lease.Entry{}, err
	}
	return h.w.store.Swap(ctx, key, from, value)
}

func (h *host) Watch(context.Context, string, uint64, func(lease.Entry)) error { return errDown }

func (h *host) Leads(context.Context) (bool, error) { return false, nil }

func (h *host) Close() error { return nil }

// host is the server too.
func (h *host) change(what string, do func(*agent.Sight)) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.done = append(h.done, what)
	do(&h.sight)
}

func (h *host) Look(context.Context) (agent.Sight, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if p := h.w.hosts[h.sight.Following]; p != nil && !p.down && p.sight.Role == cluster.Primary && h.sight.Streaming {
		h.sight.Received = p.sight.Received
	}
	s := h.sight
	if s.Role == cluster.Primary {
		s.Replicas = nil
		for _, o := range h.w.hosts {
			if !o.down && o.sight.Role == cluster.Standby && o.sight.Following == h.name && o.sight.Streaming {
				s.Replicas = append(s.Replicas, agent.Replica{Name: o.name, Flushed: o.sight.Received})
			}
		}
		slices.SortFunc(s.Replicas, func(a, b agent.Replica) int { return strings.Compare(a.Name, b.Name) })
	}
	if p := h.w.hosts[s.Following]; s.Role == cluster.Standby {
		if s.Heard = -1; p != nil && !p.down && !p.cut && p.sight.Role == cluster.Primary {
			s.Heard = 0
		}
	}
	return s, nil
}

func (h *host) Start(_ context.Context, as cluster.Role) error {
	h.w.mu.Lock()
	broken := h.broken
	h.w.mu.Unlock()
	if broken {
		return errors.New("the server does not start")
	}
	h.change("start "+string(as), func(s *agent.Sight) { s.Role, s.Following, s.Streaming = as, "", false })
	return nil
}

func (h *host) Stop(context.Context) error {
	h.change("stop", func(s *agent.Sight) { s.Role, s.Following, s.Streaming = cluster.Stopped, "", false })
	return nil
}

func (h *host) Retire(ctx context.Context) error { return h.Stop(ctx) }

func (h *host) Detach(context.Context) error {
	h.change("detach", func(s *agent.Sight) { s.Following, s.Streaming = "", false })
	return nil
}

// Follow streams from a member whose log this one's is a beginning of: from where its timeline began on, others have parted.
func (h *host) Follow(_ context.Context, member string) error {
	h.change("follow "+member, func(s *agent.Sight) {
		from := h.w.hosts[member]
		s.Role, s.Following, s.Streaming, s.Parted = cluster.Standby, member, false, false
		if from == nil || from.down {
			return
		}
		if s.Received.Timeline != from.sight.Received.Timeline && s.Received.Seq >= from.sight.Received.Seq {
			s.Parted = true
			return
		}
		s.Streaming, s.Received = true, from.sight.Received
	})
	return nil
}

func (h *host) Lead(ctx context.Context, l agent.Lead, still func() bool) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(80 * time.Millisecond):
	}
	if !still() {
		return errors.New("no tenure any more")
	}
	h.change("lead", func(s *agent.Sight) {
		if s.Role != cluster.Primary {
			s.Received = history.At(l.Timeline, s.Received.Seq+1)
		}
		s.Role, h.quorum = cluster.Primary, l.Quorum
	})
	return nil
}

func (h *host) Hurry(context.Context) error { return nil }

func (h *host) Flush(context.Context) error { return nil }

func (h *host) Count(_ context.Context, q cluster.Quorum) (at history.Position, err error) {
	h.change("count", func(s *agent.Sight) { h.quorum, at = q, s.Received })
	return at, nil
}

func (h *host) Rejoin(_ context.Context, member string, _ uint32, begun func(history.Position) error) error {
	h.w.mu.Lock()
	whole := h.w.hosts[member].sight.Received
	h.w.mu.Unlock()
	if err := begun(whole); err != nil {
		return err
	}
	h.change("rejoin "+member, func(s *agent.Sight) {
		s.Parted, s.Empty, s.Role, s.Following, s.Streaming, s.Received = false, false, cluster.Standby, member, true, h.w.hosts[member].sight.Received
	})
	return nil
}
