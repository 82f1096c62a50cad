package etcd

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Avoid moves leadership away from this host if the primary of a cluster is on it and a host without one can take it: who decides about a
// primary had better not die with it. With no better place it stays, without an error. host is where the primary of that cluster is now.
func (s *Store) Avoid(ctx context.Context, cluster, host string) error {
	s.avoiding.Lock()
	if s.avoided == nil {
		s.avoided = map[string]string{}
	}
	s.avoided[cluster] = host
	hosts := slices.Collect(maps.Values(s.avoided))
	s.avoiding.Unlock()
	if !slices.Contains(hosts, s.cfg.Host) {
		return nil
	}
	if s.voter == nil {
		return s.hint.leave(ctx)
	}
	if !s.voter.Leads() {
		return nil
	}
	seats, err := s.Seats(ctx)
	if err != nil {
		return err
	}
	for _, seat := range seats {
		if seat.Learner || !seat.Answers || seat.Leads || seat.Behind > 1000 || slices.Contains(hosts, seat.Name) {
			continue
		}
		ctx, stop := context.WithTimeout(ctx, 2*election)
		defer stop()
		own := s.voter.etcd.Server
		if err := own.MoveLeader(ctx, uint64(own.MemberID()), seat.ID); err != nil {
			return fmt.Errorf("move leadership of the coordination to %s: %w", seat.Name, err)
		}
		return nil
	}
	return nil
}
