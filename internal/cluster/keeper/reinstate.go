package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/backstaydb/backstay/internal/cluster"
)

// leap is by how much Reinstate raises the epoch: more than all the claims that a lost state can have known of.
const leap = 1000

// Reinstate makes a state good again that is older than what the members know, or gone, after the coordination was recovered from one of several
// voters or was made anew; of a cluster that never had a primary it leaves all as it is. It asks every member, and begins a ballot above every epoch that may ever have been given out; the
// ballot then finds who has most of the log. What the primaries that answer count is added to what the state knew, so that nothing is promoted
// without what they acknowledged. What a primary that does not answer acknowledged under a state that is lost, nobody can know: the
// absent are returned, for the person who decides about it, and lose says that this is accepted.
func Reinstate(ctx context.Context, c Config, by, why string, lose bool) (s cluster.State, absent []string, err error) {
	c.Cluster = c.Cluster.WithDefaults()
	facts, absent := survey(ctx, c)
	if len(facts) == 0 {
		return s, absent, fmt.Errorf("reinstate cluster %s: no member answers", c.Cluster.Cluster)
	}
	if len(absent) > 0 && !lose {
		return s, absent, fmt.Errorf("reinstate cluster %s: %v do not answer, and may have acknowledged what only they know", c.Cluster.Cluster, absent)
	}
	s, err = Change(ctx, c.Store, c.Key, func(s *cluster.State) error {
		if !reinstate(s, facts) {
			return errNothing
		}
		s.Reason = fmt.Sprintf("reinstated by %s: %s", by, why)
		if lose {
			s.Request = &cluster.Request{Kind: cluster.Failover, By: by, Why: why, Lose: true}
		}
		return nil
	})
	if errors.Is(err, errNothing) {
		return s, absent, nil
	}
	return s, absent, err
}

var errNothing = errors.New("there never was an epoch")

// reinstate brings a state up to what members told. It returns false if nobody ever had an epoch: such a cluster is yet to form.
func reinstate(s *cluster.State, facts []cluster.Fact) bool {
	highest, lead := s.Epoch, cluster.Fact{}
	for _, f := range facts {
		highest = max(highest, f.Promised, f.Epoch)
		s.Timeline = max(s.Timeline, f.Received.Timeline)
		s.Step = max(s.Step, f.Counting.Step)
		if f.Role != cluster.Primary {
			continue
		}
		if known := slices.ContainsFunc(s.Quorums, f.Counting.Is); !known && f.Counting.Primary != "" {
			s.Quorums = append(slices.Clone(s.Quorums), f.Counting)
		}
		if lead.Name == "" || f.Epoch > lead.Epoch {
			lead = f
		}
	}
	if highest == 0 {
		return false
	}
	s.Primary = lead.Name // empty: nobody is preferred or put last for what an old state says of him, the longest log counts
	s.Epoch, s.Phase, s.Request, s.Row = highest+leap, cluster.Fencing, nil, "reinstated"
	s.Step++
	s.Beat++ // whoever held an epoch: a tenure may have begun just now
	return true
}

// survey asks each member once.
func survey(ctx context.Context, c Config) (facts []cluster.Fact, absent []string) {
	var wait sync.WaitGroup
	answers := make([]*cluster.Fact, len(c.Cluster.Peers))
	for i, p := range c.Cluster.Peers {
		wait.Go(func() {
			within, stop := context.WithTimeout(ctx, actWithin)
			defer stop()
			if m := c.Members[p.Name]; m != nil {
				if r, err := m.Probe(within); err == nil {
					answers[i] = &r.Fact
				}
			}
		})
	}
	wait.Wait()
	for i, p := range c.Cluster.Peers {
		if answers[i] == nil {
			absent = append(absent, p.Name)
			continue
		}
		facts = append(facts, *answers[i])
	}
	return facts, absent
}
