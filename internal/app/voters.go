package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/authority"
	"github.com/backstaydb/backstay/internal/cluster/keeper"
	"github.com/backstaydb/backstay/internal/lease/etcd"
)

// voterWithin is how long the voters may take to answer a question.
const voterWithin = 5 * time.Second

// ballotBox asks the voters of the file with this host's certificate. No daemon need run here.
func (h *Host) ballotBox(host string) (*etcd.Store, error) {
	switch co := h.Config.Coordination; {
	case co == nil:
		return nil, &hostError{errors.New("this file names no coordination: one host decides, and nobody votes"), "coordination: { embedded: { peers: [three hosts] } }"}
	case co.Embedded == nil:
		return nil, &hostError{errors.New("the coordination is an etcd that somebody else runs"), "etcdctl member list, add, promote, remove"}
	}
	id, err := authority.OpenIdentity(h.passport())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoPassport
	} else if err != nil {
		return nil, err
	}
	return etcd.Open(h.ownVoters(id, host))
}

// seats asks the voters who they are.
func seats(ctx context.Context, s *etcd.Store) ([]etcd.Seat, error) {
	ctx, stop := context.WithTimeout(ctx, voterWithin)
	defer stop()
	all, err := s.Seats(ctx)
	if err != nil {
		return nil, &hostError{fmt.Errorf("no majority of the voters answers: %w", err), "start backstay on their hosts; where they are lost for good: backstay cluster voter recover, on the host of one that is left"}
	}
	return all, nil
}

// Voters lists the hosts that vote.
func (h *Host) Voters(ctx context.Context, host string) ([]api.Voter, error) {
	s, err := h.ballotBox(host)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	found, err := seats(ctx, s)
	if err != nil {
		return nil, err
	}
	all := []api.Voter{}
	for _, v := range found {
		role := "voter"
		switch {
		case v.Learner:
			role = "learner"
		case v.Leads:
			role = "leader"
		}
		all = append(all, api.Voter{Host: cmp.Or(v.Name, v.Peer), Role: role, Answers: v.Answers, Behind: v.Behind, Bytes: v.Size, Error: v.Broken})
	}
	slices.SortFunc(all, func(a, b api.Voter) int { return cmp.Compare(a.Host, b.Host) })
	return all, nil
}

// ChangeVoters has hosts vote, and others not any more, step by step; with dry it only says how. The daemons of hosts that come must run, or be
// started meanwhile. tell hears of each step before it is taken.
func (h *Host) ChangeVoters(ctx context.Context, host string, in, out []string, dry bool, tell func(string)) (t api.VoterTurnover, err error) {
	if err := h.mayTurnOver(in, out); err != nil {
		return t, err
	}
	s, err := h.ballotBox(host)
	if err != nil {
		return t, err
	}
	defer s.Close()
	found, err := seats(ctx, s)
	if err != nil {
		return t, err
	}
	for _, name := range out {
		if len(in) == 0 && !slices.ContainsFunc(found, func(v etcd.Seat) bool { return cmp.Or(v.Name, v.Peer) == name }) {
			return t, &hostError{fmt.Errorf("%s has no vote", name), "backstay cluster voter list"}
		}
	}
	steps, err := etcd.Turnover{In: h.voterList(in), Out: out}.Steps(found)
	if err != nil {
		return t, err
	}
	t.Steps, t.Voters = []string{}, voting(found)
	for _, step := range steps {
		t.Steps = append(t.Steps, step.String())
		if dry {
			continue
		}
		tell(step.String())
		if err := s.Carry(ctx, step, tell); err != nil {
			return t, &hostError{err, "the same command goes on where this one broke off"}
		}
	}
	if dry {
		return t, nil
	}
	if found, err = seats(ctx, s); err != nil {
		return t, err
	}
	t.Done, t.Voters = true, voting(found)
	return t, nil
}

func voting(all []etcd.Seat) []string {
	names := []string{}
	for _, v := range all {
		if !v.Learner {
			names = append(names, v.Name)
		}
	}
	slices.Sort(names)
	return names
}

// mayTurnOver holds a turnover against the file, by which the daemons go when they start.
func (h *Host) mayTurnOver(in, out []string) error {
	peers := h.voters()
	for _, name := range in {
		if !slices.Contains(peers, name) {
			return &hostError{fmt.Errorf("%s is to vote, and is not one of coordination.embedded.peers", name), "write it there on every host, and its address under hosts"}
		}
	}
	for _, name := range out {
		if slices.Contains(peers, name) && !slices.Contains(in, name) {
			return &hostError{fmt.Errorf("%s is to vote no more, and is one of coordination.embedded.peers", name), "take it out there on every host; a running daemon goes by that after its next start"}
		}
	}
	return nil
}

// RecoverVoter has the daemon of this folder go on with its voter alone; api.ErrNotRunning if none runs.
func (h *Host) RecoverVoter(ctx context.Context, o api.VoterRecovery) (api.VoterRecovered, error) {
	return api.Dial(h.State()).Recover(ctx, o)
}

// Recover implements api.Controller: from the copy of one voter the states of all clusters are made good again, by asking their members; only then do
// others see it.
func (d *daemon) Recover(ctx context.Context, o api.VoterRecovery) (out api.VoterRecovered, err error) {
	if d.house == nil || d.house.coordination == nil {
		return out, errNoVoter
	}
	ctx, cancel := context.WithTimeout(ctx, orderWithin)
	defer cancel()
	e := audit.Entry{What: audit.Voter, Objects: []string{d.house.name}, Why: "go on with this host's voter alone, asked for by " + o.By + ": " + cmp.Or(o.Why, asked), Outcome: audit.Began}
	if !o.DryRun {
		if err := d.record(ctx, e); err != nil {
			d.host().Log.Error("the audit log takes nothing", "err", err) // a person whose coordination is gone gets it back
		}
	}
	err = d.house.coordination.force(ctx, o.DryRun, func(ctx context.Context, s *etcd.Store) (err error) {
		out.Clusters, err = d.house.reinstate(ctx, s, o)
		return err
	})
	if o.DryRun {
		return out, err
	}
	if e.Outcome = audit.OK; err != nil {
		e.Outcome, e.Error = audit.Failed, err.Error()
	}
	if err := d.record(context.WithoutCancel(ctx), e); err != nil {
		d.host().Log.Error("the audit log takes nothing", "err", err)
	}
	if err == nil {
		out.Done = true
		if kept, _ := filepath.Glob(d.house.coordination.voter.Dir + before + "*"); len(kept) > 0 {
			out.Kept = kept[len(kept)-1]
		}
	}
	return out, err
}

// reinstate raises the epoch of every cluster above all that its members know.
func (o *house) reinstate(ctx context.Context, s *etcd.Store, asked api.VoterRecovery) ([]api.ClusterReinstate, error) {
	o.mu.Lock()
	var all []*managed
	for _, m := range o.clusters {
		all = append(all, m)
	}
	o.mu.Unlock()
	slices.SortFunc(all, func(a, b *managed) int { return cmp.Compare(a.name, b.name) })
	done := []api.ClusterReinstate{}
	for _, m := range all {
		old, _, err := keeper.Read(ctx, s, stateKey(m.name))
		if err != nil {
			return done, err
		}
		next, absent, err := m.reinstateIn(ctx, s, asked.By, cmp.Or(asked.Why, "the other voters are lost"), asked.Lose)
		if err != nil {
			return done, err
		}
		done = append(done, api.ClusterReinstate{Cluster: m.name, Before: old.Epoch, Epoch: next.Epoch, Absent: absent})
	}
	return done, nil
}
