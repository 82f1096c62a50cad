package agent

import (
	"context"
	"fmt"
	"slices"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/peer"
)

// Probe implements peer.Member. A server that runs and does not answer gives an error: to a keeper, silence. Where the reason is its disk, that
// is told, with what was last seen and no promise.
func (a *Agent) Probe(ctx context.Context) (peer.Report, error) {
	a.mu.Lock()
	k, asked := a.kept, a.now() // before the look: what is told of the log is then no older than the promise
	if a.lost {
		k.Promised = 0
	}
	a.mu.Unlock()
	unguarded := a.unguarded()
	look, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := a.c.Server.Look(look)
	if err == nil {
		a.note(s, asked)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		if s.Stalled < stalls {
			return peer.Report{}, fmt.Errorf("look at the server of %s: %w", a.c.Member, err)
		}
		stalled := s.Stalled
		s, k.Promised = a.sight, 0
		s.Stalled = stalled
	}
	now := a.now()
	r := peer.Report{
		Fact: cluster.Fact{
			Name: a.c.Member, Role: s.Role, SystemID: s.SystemID, Promised: k.Promised, Received: s.Received,
			Blank: s.Empty || !k.Whole.IsZero(), // until complete has seen it whole, on the disk
			Full:  s.Full, Unguarded: unguarded,
		},
		Ages: peer.Ages{Heard: s.Heard, Vouched: now - a.vouched, Stalled: -1, Short: -1},
	}
	if s.Stalled >= stalls {
		r.Ages.Stalled = s.Stalled
	}
	switch s.Role {
	case cluster.Primary:
		r.Epoch, r.Prepared = k.Led, now-a.prepared < prepared
		if k.Told {
			r.Counting, r.Switched = k.Counting, k.Switched
		}
		r.Streams = a.streams(s)
		r.Ages.Short = peer.Age(a.short, now)
	case cluster.Standby:
		r.Following = s.Following
	}
	return r, nil
}

// streams are the members among those that stream from a primary.
func (a *Agent) streams(s Sight) []cluster.Stream {
	var out []cluster.Stream
	for _, r := range s.Replicas {
		known := slices.ContainsFunc(a.c.Cluster.Peers, func(p cluster.Peer) bool { return p.Name == r.Name })
		if known && r.Name != a.c.Member {
			out = append(out, cluster.Stream{Name: r.Name, Flushed: r.Flushed})
		}
	}
	return out
}
