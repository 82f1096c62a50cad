package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/authority"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/cluster/keeper"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/freeport"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/lease/etcd"
	"github.com/backstaydb/backstay/internal/peer"
)

// college is three hosts of which each has a voter, and nothing else. ha4 is to take the place of ha3, by its own file.
type college struct {
	t     *testing.T
	hosts map[string]*Host
	votes map[string]*coordination
	ends  map[string]func()
}

func newCollege(t *testing.T) *college {
	t.Helper()
	if testing.Short() {
		t.Skip("etcd waits for 5 s before it trusts a voter")
	}
	t.Parallel()
	c := &college{t: t, hosts: map[string]*Host{}, votes: map[string]*coordination{}, ends: map[string]func(){}}
	a, err := authority.New("shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	file := "coordination: { embedded: { peers: [ha1, ha2, ha3] } }\nhosts:\n"
	all := append(slices.Clone(siteHosts), "ha4")
	for _, name := range all {
		file += fmt.Sprintf("  %s: { address: \"127.0.0.1:%d\" }\n", name, freeport.Ports(t, 3))
	}
	for _, name := range all {
		if name == "ha4" {
			file = strings.Replace(file, "[ha1, ha2, ha3]", "[ha1, ha2, ha4]", 1)
		}
		path := filepath.Join(t.TempDir(), config.Name)
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		h := NewHost(cfg, slog.New(slog.NewTextHandler(t.Output(), nil)).With("host", name))
		if _, err := authority.FirstIdentity(h.passport(), a, h.names(name), time.Now()); err != nil {
			t.Fatal(err)
		}
		c.hosts[name] = h
	}
	return c
}

func (c *college) start(names ...string) {
	c.t.Helper()
	for _, name := range names {
		id, err := authority.OpenIdentity(c.hosts[name].passport())
		if err != nil {
			c.t.Fatal(err)
		}
		o, err := c.hosts[name].openCoordination(name, id)
		if err != nil {
			c.t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- o.run(ctx) }()
		over := false
		c.votes[name], c.ends[name] = o, func() {
			if over {
				return
			}
			over = true
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				c.t.Errorf("%s: %v", name, err)
			}
		}
		c.t.Cleanup(c.ends[name])
	}
}

// know waits until a host reads an epoch.
func (c *college) know(name string, epoch uint64) (e lease.Entry) {
	c.t.Helper()
	until(c.t, fmt.Sprintf("%s reads epoch %d", name, epoch), func() bool {
		ctx, stop := context.WithTimeout(c.t.Context(), time.Second)
		defer stop()
		s, read, err := keeper.Read(ctx, &c.votes[name].store, "cluster-shop")
		e = read
		return err == nil && s.Epoch == epoch
	})
	return e
}

func (c *college) write(name string, epoch uint64) {
	c.t.Helper()
	until(c.t, fmt.Sprintf("%s writes epoch %d", name, epoch), func() bool {
		ctx, stop := context.WithTimeout(c.t.Context(), time.Second)
		defer stop()
		_, err := keeper.Change(ctx, &c.votes[name].store, "cluster-shop", func(s *cluster.State) error {
			s.Epoch, s.Phase, s.Primary = epoch, cluster.Serving, "db1"
			return nil
		})
		return err == nil
	})
}

// sworn is a member that promised an epoch.
type sworn struct{ epoch uint64 }

func (s sworn) Probe(context.Context) (peer.Report, error) {
	return peer.Report{Fact: cluster.Fact{Role: cluster.Standby, Promised: s.epoch}}, nil
}

func (s sworn) Act(context.Context, cluster.Action) error { return nil }

// TestTheEpochNeverFalls: the voter that is left was away when the newest epoch was given out. What others read under the lost voters is
// newer than nothing that comes, and the lost ones find themselves removed when they come back, though they have a majority of what they know.
func TestTheEpochNeverFalls(t *testing.T) {
	c := newCollege(t)
	c.start(siteHosts...)
	c.write("ha1", 7)
	c.know("ha2", 7)
	c.ends["ha1"]()
	for range 5 { // ahead of what ha1 counts, too
		c.write("ha2", 8)
	}
	read := c.know("ha3", 8)
	c.ends["ha2"]()
	c.ends["ha3"]()
	c.start("ha1")

	var got cluster.State
	reinstate := func(ctx context.Context, s *etcd.Store) (err error) {
		conf := keeper.Config{Cluster: cluster.Config{Cluster: "shop", Peers: []cluster.Peer{{Name: "db1"}, {Name: "db2"}}}, Store: s, Key: "cluster-shop",
			Members: map[string]peer.Member{"db1": sworn{8}, "db2": sworn{7}}}
		got, _, err = keeper.Reinstate(ctx, conf, "anna", "fire", false)
		return err
	}
	if err := c.votes["ha1"].force(t.Context(), true, reinstate); err != nil || got.Epoch != 1008 {
		t.Fatalf("dry: epoch %d, %v", got.Epoch, err)
	}
	if c.votes["ha1"].answers(t.Context()) {
		t.Fatal("a dry run recovered it")
	}
	refusal := errors.New("a member is away")
	if err := c.votes["ha1"].force(t.Context(), false, func(context.Context, *etcd.Store) error { return refusal }); !errors.Is(err, refusal) || c.votes["ha1"].answers(t.Context()) {
		t.Fatalf("what was refused: %v", err)
	}
	if err := c.votes["ha1"].force(t.Context(), false, reinstate); err != nil {
		t.Fatal(err)
	}
	now := c.know("ha1", 1008)
	if now.Revision <= read.Revision {
		t.Errorf("revision %d after %d", now.Revision, read.Revision)
	}
	if _, err := c.votes["ha1"].store.Swap(t.Context(), "cluster-shop", read.Revision, []byte("{}")); !errors.Is(err, lease.ErrStale) {
		t.Errorf("a swap from what was lost: %v", err)
	}
	if err := c.votes["ha1"].force(t.Context(), false, reinstate); err == nil {
		t.Error("a voter that serves is recovered")
	}

	c.start("ha2", "ha3")
	for _, name := range []string{"ha2", "ha3"} {
		until(t, name+" sees that it was removed", func() bool {
			aside, _ := filepath.Glob(c.hosts[name].voterFolder() + ".removed-*")
			return len(aside) == 1
		})
	}
	if all, err := c.hosts["ha3"].Voters(t.Context(), "ha3"); err != nil || len(all) != 1 || all[0].Host != "ha1" || all[0].Role != "leader" {
		t.Errorf("voters %+v, %v", all, err)
	}
	if _, err := c.hosts["ha3"].ChangeVoters(t.Context(), "ha3", []string{"ha2"}, nil, true, nil); err == nil || hintOf(err) == "" {
		t.Errorf("two voters: %v", err)
	}
	turn, err := c.hosts["ha3"].ChangeVoters(t.Context(), "ha3", []string{"ha2", "ha3"}, nil, false, func(string) {})
	if err != nil || !turn.Done || !slices.Equal(turn.Voters, siteHosts) || len(turn.Steps) != 4 {
		t.Fatalf("turnover %+v, %v", turn, err)
	}
	c.ends["ha1"]()
	c.know("ha3", 1008)
}

// TestAVoterIsReplaced by one that began before the others could be asked, as if all of them began together.
func TestAVoterIsReplaced(t *testing.T) {
	c := newCollege(t)
	c.start("ha4")
	until(t, "ha4 begins", func() bool {
		kept, _ := etcd.Kept(c.hosts["ha4"].voterFolder())
		return kept
	})
	c.start(siteHosts...)
	c.write("ha1", 7)
	until(t, "ha4 sees that it began with nobody", func() bool {
		kept, _ := etcd.Kept(c.hosts["ha4"].voterFolder())
		return !kept
	})
	if _, err := c.hosts["ha1"].ChangeVoters(t.Context(), "ha1", []string{"ha4"}, []string{"ha3"}, true, nil); err == nil || !strings.Contains(hintOf(err), "on every host") {
		t.Errorf("against the file: %v", err)
	}
	dry, err := c.hosts["ha4"].ChangeVoters(t.Context(), "ha4", []string{"ha4"}, []string{"ha3"}, true, nil)
	if err != nil || dry.Done || len(dry.Steps) != 3 || !slices.Equal(dry.Voters, siteHosts) {
		t.Fatalf("dry %+v, %v", dry, err)
	}
	turn, err := c.hosts["ha4"].ChangeVoters(t.Context(), "ha4", []string{"ha4"}, []string{"ha3"}, false, func(string) {})
	if err != nil || !turn.Done || !slices.Equal(turn.Voters, []string{"ha1", "ha2", "ha4"}) {
		t.Fatalf("turnover %+v, %v", turn, err)
	}
	c.ends["ha3"]()
	c.ends["ha1"]()
	c.know("ha4", 7)
	c.write("ha2", 8)
}
