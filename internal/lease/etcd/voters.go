package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

type member = etcdserverpb.Member

// Seat is a voter as the others have it on record.
type Seat struct {
	Voter
	ID      uint64
	Learner bool // it is sent everything and does not vote yet
	Leads   bool
	Answers bool
	Behind  uint64 // entries of the log that it has not applied yet, compared with the one that has most; meaningless if it does not answer
	Size    int64  // bytes of its database
	Broken  string // what it complains about: out of space, corrupt
}

// Seats lists the voters and asks each how it is.
func (s *Store) Seats(ctx context.Context) ([]Seat, error) {
	got, err := s.members(ctx)
	if err != nil {
		return nil, err
	}
	seats, most := make([]Seat, len(got.Members)), uint64(0)
	applied := make([]uint64, len(seats))
	for i, m := range got.Members {
		seats[i] = Seat{Voter: Voter{Name: m.Name}, ID: m.ID, Learner: m.IsLearner}
		seats[i].Peer, seats[i].Client = first(m.PeerURLs), first(m.ClientURLs)
		status, err := s.status(ctx, seats[i].Voter)
		if err != nil {
			continue
		}
		seats[i].Answers, seats[i].Leads, seats[i].Size = true, status.Leader == m.ID, status.DbSize
		seats[i].Broken = first(status.Errors)
		applied[i] = status.RaftAppliedIndex
		most = max(most, applied[i])
	}
	for i := range seats {
		seats[i].Behind = most - applied[i]
	}
	return seats, nil
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

func (s *Store) members(ctx context.Context) (*clientv3.MemberListResponse, error) {
	var got *clientv3.MemberListResponse
	err := s.each(ctx, func(ctx context.Context, c *clientv3.Client) (bool, error) {
		var err error
		got, err = c.MemberList(ctx)
		return err == nil, err
	})
	if err != nil {
		return nil, fmt.Errorf("list voters: %w", err)
	}
	return got, nil
}

// status asks one voter, over a connection of its own where it is not among the end points.
func (s *Store) status(ctx context.Context, v Voter) (*clientv3.StatusResponse, error) {
	ctx, stop := context.WithTimeout(ctx, s.cfg.Try)
	defer stop()
	for i, at := range s.cfg.EndPoints {
		if at.URL == v.Client {
			return s.clients[i].Status(ctx, at.URL)
		}
	}
	if v.Client == "" {
		return nil, errors.New("it never ran")
	}
	c, err := dial(s.cfg, EndPoint{URL: v.Client, Name: v.Name})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Status(ctx, v.Client)
}

// Add records a voter that is to join, as a learner, which can't cost a majority. It returns all voters, for the ServerConfig (with Join)
// that it is then started with. Added twice it is the same. Promote makes it vote.
func (s *Store) Add(ctx context.Context, v Voter) ([]Voter, error) {
	got, err := s.members(ctx)
	if err != nil {
		return nil, err
	}
	known := slices.ContainsFunc(got.Members, func(m *member) bool { return slices.Contains(m.PeerURLs, v.Peer) })
	if !known {
		if err := s.change(ctx, func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.MemberAddAsLearner(ctx, []string{v.Peer})
			return err
		}); err != nil {
			return nil, fmt.Errorf("add voter %s: %w", v.Name, err)
		}
		if got, err = s.members(ctx); err != nil {
			return nil, err
		}
	}
	var all []Voter
	for _, m := range got.Members {
		switch {
		case slices.Contains(m.PeerURLs, v.Peer):
			all = append(all, v)
		case m.Name == "":
			return nil, fmt.Errorf("add voter %s: the one at %s was added and never started: start or remove it first", v.Name, first(m.PeerURLs))
		default:
			all = append(all, Voter{m.Name, first(m.PeerURLs), first(m.ClientURLs)})
		}
	}
	return all, nil
}

// Promote makes a learner vote, as soon as it has nearly all of the log. It waits for that until ctx ends.
func (s *Store) Promote(ctx context.Context, name string) error {
	for {
		seat, err := s.seat(ctx, name)
		if err != nil {
			return fmt.Errorf("promote voter %s: %w", name, err)
		}
		if !seat.IsLearner {
			return nil
		}
		err = s.change(ctx, func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.MemberPromote(ctx, seat.ID)
			return err
		})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("promote voter %s: %w: %w", name, context.Cause(ctx), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

var errNoSeat = errors.New("there is no such voter")

func (s *Store) seat(ctx context.Context, name string) (*member, error) {
	got, err := s.members(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range got.Members {
		if m.Name == name {
			return m, nil
		}
	}
	return nil, errNoSeat
}

// change asks the end point that answered last, with more patience and no other try, since a change of the voters is not made twice. Only a
// refusal is asked again until ctx ends: etcd changes nothing before all others were connected for 5 s, or a lost one's loss was noticed.
func (s *Store) change(ctx context.Context, ask func(context.Context, *clientv3.Client) error) error {
	for {
		try, stop := context.WithTimeout(ctx, 5*time.Second)
		err := ask(try, s.clients[int(s.last.Load())])
		stop()
		if !errors.Is(err, rpctypes.ErrUnhealthy) && !errors.Is(err, rpctypes.ErrMemberNotEnoughStarted) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
