package keeper

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/lease/mem"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/route"
)

// world is three hosts with agents as they are, servers of words that replicate among each other, one proxy, and keepers. It lives in a bubble
// of synctest, where time passes only while everybody waits.
type world struct {
	t       *testing.T
	cfg     cluster.Config
	store   *mem.Store
	hosts   map[string]*host
	proxy   *carrier
	began   time.Time
	keepers sync.WaitGroup

	mu     sync.Mutex // of all servers
	acked  uint64     // the longest log that a client was told is committed
	events []Event
	tell   func(Event) // called with each, without the lock
	record func(Entry) error
	stored history.Position
}

var three = cluster.Config{Cluster: "shop", Sync: 1, Peers: []cluster.Peer{{Name: "db1"}, {Name: "db2"}, {Name: "db3", Priority: 5}}}

// run makes a world of cfg in which db1 is a primary that nobody decided upon yet.
func run(t *testing.T, cfg cluster.Config, test func(w *world)) {
	t.Helper()
	dirs := map[string]string{}
	for _, p := range cfg.Peers {
		dirs[p.Name] = t.TempDir()
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, cfg: cfg.WithDefaults(), store: mem.New(), hosts: map[string]*host{}, began: time.Now()}
		for _, p := range cfg.Peers {
			h := &host{w: w, name: p.Name, sight: agent.Sight{Role: cluster.Standby, SystemID: "1", Received: history.At(1, 100), Following: "db1", Streaming: true, Heard: 0, Stalled: -1}}
			w.hosts[p.Name] = h
			a, err := agent.New(agent.Config{
				Cluster: w.cfg, Member: p.Name, Dir: dirs[p.Name], Store: h, Key: "cluster-shop", Server: h, Now: w.now,
				Voucher: func(member string) peer.Voucher { return w.hosts[member] },
			})
			if err != nil {
				t.Fatal(err)
			}
			h.agent = a
		}
		w.hosts["db1"].sight.Role, w.hosts["db1"].sight.Following = cluster.Primary, ""
		ctx, stop := context.WithCancel(t.Context())
		var agents sync.WaitGroup
		for _, h := range w.hosts {
			agents.Go(func() {
				if err := h.agent.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		w.proxy = &carrier{w: w, id: route.ID{Name: "app", Life: "1"}}
		agents.Go(func() { w.proxy.run(ctx) })
		test(w)
		stop()
		w.keepers.Wait()
		agents.Wait()
	})
}

func (w *world) now() time.Duration { return time.Hour + time.Since(w.began) }

func (w *world) config() Config {
	c := Config{
		Cluster: w.cfg, Store: w.store, Key: "cluster-shop", Now: w.now, Audit: w, Tell: w.told,
		Members: map[string]peer.Member{}, Proxies: map[string]peer.Carrier{"app": w.proxy},
	}
	for name, h := range w.hosts {
		c.Members[name] = h
	}
	return c
}

// keep starts a keeper and returns what kills it.
func (w *world) keep(c Config) (*Keeper, context.CancelFunc) {
	w.t.Helper()
	k, err := New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.t.Context())
	w.keepers.Go(func() {
		if err := k.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	return k, stop
}

func (w *world) told(e Event) {
	w.mu.Lock()
	w.events = append(w.events, e)
	tell := w.tell
	w.mu.Unlock()
	if tell != nil {
		tell(e)
	}
}

func (w *world) Record(_ context.Context, e Entry) error {
	w.mu.Lock()
	record := w.record
	w.mu.Unlock()
	if record != nil {
		return record(e)
	}
	return nil
}

func (w *world) Newest(context.Context, uint32) (history.Position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stored, nil
}

func (w *world) state() cluster.State {
	w.t.Helper()
	s, _, err := Read(context.Background(), w.store, "cluster-shop")
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// until waits for what must come, and says how long it took.
func (w *world) until(what string, limit time.Duration, want func(cluster.State) bool) time.Duration {
	w.t.Helper()
	begin := time.Now()
	for s := w.state(); !want(s); s = w.state() {
		if time.Since(begin) > limit {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, e := range w.events[max(0, len(w.events)-30):] {
				w.t.Logf("%+v", e)
			}
			w.t.Fatalf("%s: not within %s: %+v", what, limit, s)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

func serves(name string) func(cluster.State) bool {
	return func(s cluster.State) bool {
		return s.Phase == cluster.Serving && (s.Primary == name || name == "") && len(s.Quorums) == 1
	}
}

// commit writes n records at the primary of the state and counts those that may be acknowledged.
func (w *world) commit(n int) (acked bool) {
	s := w.state()
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.hosts[s.Primary]
	if p == nil || p.down || p.sight.Role != cluster.Primary {
		return false
	}
	p.sight.Received.Seq += uint64(n)
	have := 0
	for _, h := range w.hosts {
		if !h.down && h.sight.Role == cluster.Standby && h.sight.Following == p.name && h.sight.Streaming {
			h.sight.Received = p.sight.Received
			if slices.Contains(p.quorum.Names, h.name) {
				have++
			}
		}
	}
	if have < p.quorum.K {
		return false
	}
	w.acked = max(w.acked, p.sight.Received.Seq)
	return true
}

// whole fails the test if the primary lacks what was acknowledged, or two take writes.
func (w *world) whole() {
	w.t.Helper()
	s := w.state()
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.hosts[s.Primary]; p.sight.Received.Seq < w.acked {
		w.t.Errorf("%s has %s, and %d was acknowledged", p.name, p.sight.Received.Plain(), w.acked)
	}
	for _, h := range w.hosts {
		if h.sight.Role == cluster.Primary && h.name != s.Primary && !h.down {
			w.t.Errorf("%s is primary beside %s", h.name, s.Primary)
		}
	}
}

// kill takes a host's power.
func (w *world) kill(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[name].down = true
}

// carrier is a proxy: a lease, and transactions that are open.
type carrier struct {
	w     *world
	id    route.ID
	mu    sync.Mutex
	lease route.Lease
	open  int
	heard time.Duration
	mute  bool
}

func (c *carrier) run(ctx context.Context) {
	c.heard = cluster.Never
	for next := 0; ctx.Err() == nil; next++ {
		c.mu.Lock()
		holder := c.lease.Route.Primary
		if c.lease.Left(c.w.now()) <= 0 || holder == "" {
			holder = c.w.cfg.Peers[next%len(c.w.cfg.Peers)].Name
		}
		ask := route.Ask{Cluster: "shop", Proxy: c.id, Epoch: c.lease.Route.Epoch}
		c.mu.Unlock()
		asked := c.w.now()
		within, stop := context.WithTimeout(ctx, 200*time.Millisecond)
		h := c.w.hosts[holder]
		var r route.Route
		err := h.reach(within, soon)
		if err == nil {
			r, err = h.agent.Grant(within, ask)
		}
		stop()
		c.mu.Lock()
		if err == nil {
			c.lease, _ = c.lease.Apply(r, asked)
			c.heard = asked
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *carrier) Tell(ctx context.Context, r route.Route) (route.Ack, time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mute {
		return route.Ack{}, -1, errDown
	}
	c.lease, _ = c.lease.Apply(r, c.w.now())
	have := c.lease.Route
	a := route.Ack{Cluster: "shop", Proxy: c.id, Epoch: have.Epoch, Version: have.Version, Closed: have.State != ""}
	if have.State == route.Holding {
		a.Open, a.Drained = c.open, c.open == 0
	}
	if have.State == route.Serving {
		a.Ready = have.Moving
	}
	heard := time.Duration(-1)
	if c.heard != cluster.Never {
		heard = c.w.now() - c.heard
	}
	return a, heard, nil
}

func (c *carrier) live() route.Route {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lease.Live(c.w.now()) {
		return route.Route{State: route.Closed}
	}
	return c.lease.Route
}

func text(events []Event) string {
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprintf("%s %s %s %s", e.Kind, e.Row, e.Text, e.Whom))
	}
	return strings.Join(all, "\n")
}
