package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Carry has one step of a turnover done. A step that was done before is done again without harm. Admit waits, until ctx ends, for the learner to
// run: its process must be started with Join meanwhile; it tells when it begins to wait.
func (s *Store) Carry(ctx context.Context, step Step, tell func(string)) error {
	switch step.Verb {
	case Admit:
		if _, err := s.Add(ctx, step.Voter); err != nil {
			return err
		}
		return s.awaitStart(ctx, step.Voter, tell)
	case Promote:
		return s.Promote(ctx, step.Voter.Name)
	}
	if step.Leads {
		if err := s.passOn(ctx, step.Voter); err != nil {
			return err
		}
	}
	return s.removeAt(ctx, step.Voter)
}

// awaitStart waits until a voter that was added has told its name, which is the first thing that it does.
func (s *Store) awaitStart(ctx context.Context, v Voter, tell func(string)) error {
	told := false
	for {
		got, err := s.members(ctx)
		if err == nil && slices.ContainsFunc(got.Members, func(m *member) bool {
			return m.Name == v.Name && slices.Contains(m.PeerURLs, v.Peer) && len(m.ClientURLs) > 0
		}) {
			return nil
		}
		if !told && tell != nil {
			told = true
			tell("waiting until " + v.Name + " runs as a voter")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("add voter %s: it was added, and has not been started: %w", v.Name, context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// passOn has another voter lead in the place of one that is to be removed. Without it one is elected, half a second later.
func (s *Store) passOn(ctx context.Context, from Voter) error {
	seats, err := s.Seats(ctx)
	if err != nil {
		return err
	}
	for _, seat := range seats {
		if seat.Learner || !seat.Answers || seat.Peer == from.Peer {
			continue
		}
		c, err := dial(s.cfg, EndPoint{URL: from.Client, Name: from.Name})
		if err != nil {
			return err
		}
		defer c.Close()
		ctx, stop := context.WithTimeout(ctx, 4*election)
		defer stop()
		_, _ = c.MoveLeader(ctx, seat.ID) // if it fails the others elect one
		return nil
	}
	return nil
}

// removeAt takes the seat at an address away, which may never have told its name.
func (s *Store) removeAt(ctx context.Context, v Voter) error {
	got, err := s.members(ctx)
	if err != nil {
		return err
	}
	for _, m := range got.Members {
		if !slices.Contains(m.PeerURLs, v.Peer) {
			continue
		}
		if err := s.change(ctx, func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.MemberRemove(ctx, m.ID)
			return err
		}); err != nil {
			return fmt.Errorf("remove voter %s: %w", v.Name, err)
		}
	}
	return nil
}

// Kept reports whether a voter's folder has a log already. Such a voter goes on by what its folder says.
func Kept(dir string) (bool, error) {
	found, err := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
	if err == nil && len(found) == 0 {
		if _, serr := os.Stat(dir); serr != nil && !errors.Is(serr, os.ErrNotExist) {
			err = serr
		}
	}
	return len(found) > 0, err
}

// Errors of a voter without a folder that can't begin.
var (
	ErrNotAdded = errors.New("the voters that run have not added this one")
	ErrEmptied  = errors.New("this voter has run before, and its folder is gone: what it promised then it can't keep")
)

// others asks all voters but one; nil: there are none.
func others(cfg Config, own Voter) (*Store, error) {
	cfg.EndPoints = slices.DeleteFunc(slices.Clone(cfg.EndPoints), func(e EndPoint) bool { return e.Name == own.Name })
	if len(cfg.EndPoints) == 0 {
		return nil, nil
	}
	return Open(cfg)
}

// Place says how a voter with an empty folder has to begin, by what the voters that run have on record of it. If none answers, it is a first start: all begin
// together. A voter that is not theirs, or whose folder was lost, must not begin: ErrNotAdded, ErrEmptied.
func Place(ctx context.Context, cfg Config, own Voter) (join bool, all []Voter, err error) {
	s, err := others(cfg, own)
	if s == nil || err != nil {
		return false, nil, err
	}
	defer s.Close()
	got, err := s.record(ctx)
	if err != nil {
		return false, nil, nil // nobody has begun
	}
	at := slices.IndexFunc(got, func(m *member) bool { return slices.Contains(m.PeerURLs, own.Peer) })
	switch {
	case at < 0:
		return false, nil, ErrNotAdded
	case len(got[at].ClientURLs) > 0:
		return false, nil, ErrEmptied
	}
	for i, m := range got {
		v := Voter{m.Name, first(m.PeerURLs), first(m.ClientURLs)}
		if i == at {
			v = own
		}
		all = append(all, v)
	}
	return got[at].IsLearner, all, nil
}

// Gone reports whether a majority of the other voters has no seat for this one any more.
func Gone(ctx context.Context, cfg Config, own Voter) (bool, error) {
	s, err := others(cfg, own)
	if s == nil || err != nil {
		return false, err
	}
	defer s.Close()
	ctx, stop := context.WithTimeout(ctx, 10*s.cfg.Try)
	defer stop()
	got, err := s.members(ctx)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(got.Members, func(m *member) bool { return slices.Contains(m.PeerURLs, own.Peer) }), nil
}

// record is what any voter knows of all, a majority or not.
func (s *Store) record(ctx context.Context) ([]*member, error) {
	var wrong error
	for _, c := range s.clients {
		try, stop := context.WithTimeout(ctx, 3*s.cfg.Try)
		got, err := c.MemberList(try, clientv3.WithSerializable())
		stop()
		if err == nil {
			return got.Members, nil
		}
		wrong = errors.Join(wrong, err)
	}
	return nil, wrong
}
