package bare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/cluster/keeper"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/lease/mem"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/route"
)

// world is a primary and replicas of PostgreSQL, reached over SQL alone, and deciders.
type world struct {
	t       *testing.T
	cfg     cluster.Config
	store   *mem.Store
	servers map[string]*pgtest.Cluster
}

func newWorld(t *testing.T, replicas int) *world {
	t.Helper()
	w := &world{t: t, store: mem.New(), servers: map[string]*pgtest.Cluster{}, cfg: cluster.Config{Cluster: "shop", Sync: 1}}
	w.servers["db1"] = pgtest.New(t, pgtest.Options{Settings: map[string]string{"wal_retrieve_retry_interval": "100ms", "wal_receiver_status_interval": "1s"}})
	w.cfg.Peers = []cluster.Peer{{Name: "db1", Address: fmt.Sprintf("127.0.0.1:%d", w.servers["db1"].Port), Bare: true}}
	w.servers["db1"].Exec(t, "create table t (n int)", rights(t))
	for i := range replicas {
		name := fmt.Sprint("db", i+2)
		w.servers[name] = w.servers["db1"].Standby(t, name)
		w.cfg.Peers = append(w.cfg.Peers, cluster.Peer{Name: name, Address: fmt.Sprintf("127.0.0.1:%d", w.servers[name].Port), Bare: true})
	}
	return w
}

// rights are what the guide says that the role may do, and it has no others.
func rights(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/guide/sql-alone.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```sql\n")
	block, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page says nothing of rights")
	}
	return block
}

// member is db as one decider sees it.
func (w *world) member(db, host string, alone bool) *Member {
	return New(Config{
		Cluster: w.cfg, Member: db, Host: host, Store: w.store, Key: "cluster-shop", Alone: alone,
		Settings: func(context.Context) (*pgconn.Config, error) {
			return pgconn.ParseConfig(w.servers[db].URL(pgtest.Backup))
		},
		Upstream: func(_ context.Context, from string) (string, error) {
			return fmt.Sprintf("host=127.0.0.1 port=%d user=%s password='%s' application_name=%s", w.servers[from].Port, pgtest.Backup, pgtest.Password, db), nil
		},
		Tell: func(e Event) { w.t.Logf("%s: %s: %v", host, e.Text, e.Err) },
	})
}

// decide runs a whole decider, until stop is called.
func (w *world) decide(host string, alone bool) (members map[string]*Member, k *keeper.Keeper, stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	members = map[string]*Member{}
	c := keeper.Config{Cluster: w.cfg, Store: w.store, Key: "cluster-shop", Members: map[string]peer.Member{}, Tell: func(e keeper.Event) { w.t.Logf("%s: %s %s %s %s %v", host, e.Kind, e.Row, e.Text, e.Whom, e.Err) }}
	for name := range w.servers {
		m := w.member(name, host, alone)
		members[name], c.Members[name] = m, m
		all.Go(func() { _ = m.Run(ctx) })
	}
	k, err := keeper.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	all.Go(func() { _ = k.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		all.Wait()
	})
	w.t.Cleanup(stop)
	return members, k, stop
}

func (w *world) state() cluster.State {
	s, _, err := keeper.Read(context.Background(), w.store, "cluster-shop")
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) until(what string, want func(cluster.State) bool) time.Duration {
	w.t.Helper()
	begin := time.Now()
	for s := w.state(); !want(s); s = w.state() {
		if time.Since(begin) > 15*time.Second {
			w.t.Fatalf("%s: not within 15s: %+v", what, s)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

func serves(name string, epoch uint64) func(cluster.State) bool {
	return func(s cluster.State) bool {
		return s.Phase == cluster.Serving && s.Primary == name && s.Epoch == epoch && len(s.Quorums) == 1
	}
}

// TestSQLAlone forms a cluster, switches it over, loses its primary, and keeps every acknowledged row.
func TestSQLAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	members, _, _ := w.decide("ha1", true)
	w.until("db1 is adopted", serves("db1", 1))
	if got := w.servers["db1"].Ask(t, "show synchronous_standby_names"); got != `ANY 1 ("db2", "db3")` {
		t.Errorf("a commit waits for %s", got)
	}
	ask := route.Ask{Cluster: "shop", Proxy: route.ID{Name: "app", Life: "1"}}
	var r route.Route
	w.until("a route with both replicas", func(cluster.State) bool {
		r, _ = members["db1"].Grant(t.Context(), ask)
		return len(r.Replicas) == 2 && !r.Replicas[0].Unknown && !r.Replicas[1].Unknown
	})
	if r.State != route.Serving || r.Primary != "db1" || r.For <= 0 || r.For > w.cfg.WithDefaults().Lease {
		t.Errorf("route %+v", r)
	}
	if _, err := members["db2"].Grant(t.Context(), ask); !errors.Is(err, peer.ErrRefused) {
		t.Errorf("a replica gave a route: %v", err)
	}
	if err := members["db1"].pen.use(t.Context(), func(s *session) error {
		_, err := s.ask(t.Context(), commit)
		return err
	}); err != nil {
		t.Errorf("the write probe: %v", err)
	}
	insert := func(name string, n int) {
		w.t.Helper()
		w.servers[name].Exec(t, fmt.Sprintf("insert into t values (%d)", n))
	}
	insert("db1", 1)
	if _, err := keeper.Change(t.Context(), w.store, "cluster-shop", func(s *cluster.State) error {
		s.Proxies = nil // nobody is there to drain
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.servers["db1"].Kill()
	took := w.until("another one takes over", func(s cluster.State) bool {
		return s.Phase == cluster.Serving && s.Epoch == 2 && s.Primary != "db1"
	})
	t.Logf("failover took %s", took)
	next := w.state().Primary
	insert(next, 2)
	if got := w.servers[next].Ask(t, "select string_agg(n::text, ',' order by n) from t"); got != "1,2" {
		t.Errorf("%s has rows %s", next, got)
	}
	w.until("the old quorum is dropped", serves(next, 2))
	f := fact(t, members[next])
	if f.Promised != 2 || f.Epoch != 2 || f.Role != cluster.Primary || len(f.Streams) != 1 || f.Received.Timeline != 2 {
		t.Errorf("fact %+v", f)
	}
	// A decider that starts anew knows all this, since the servers do.
	again := w.member(next, "ha2", false)
	defer again.eyes.end()
	if g := fact(t, again); g.Promised != 2 || g.Epoch != 2 || g.Received.Timeline != 2 {
		t.Errorf("to another decider: %+v", g)
	}
}

// TestASwitchoverOverSQL: the old primary can't be stopped, and the ballot fences it.
func TestASwitchoverOverSQL(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers more")
	}
	t.Parallel()
	w := newWorld(t, 2)
	members, _, _ := w.decide("ha1", true)
	w.until("db1 is adopted", serves("db1", 1))
	w.servers["db1"].Exec(t, "insert into t values (1)")
	asked, err := keeper.Ask(t.Context(), w.store, "cluster-shop", cluster.Request{Kind: cluster.Switchover, To: "db3", By: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s, err := keeper.Outcome(t.Context(), w.store, "cluster-shop", asked, nil)
	if err != nil || s.Primary != "db3" || s.Epoch != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	t.Logf("switchover took %s", time.Since(begin))
	w.servers["db3"].Exec(t, "insert into t values (2)")
	if got := w.servers["db3"].Ask(t, "select string_agg(n::text, ',' order by n) from t"); got != "1,2" {
		t.Errorf("db3 has rows %s", got)
	}
	w.until("db2 follows", func(cluster.State) bool { return fact(t, members["db2"]).Following == "db3" })
	if f := fact(t, members["db1"]); f.Role != cluster.Primary || f.Promised != 1 || f.Epoch != 1 {
		t.Errorf("the old primary %+v", f)
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	conn, err := w.servers["db1"].Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(ctx, "insert into t values (3)"); err == nil {
		t.Error("a client of the old primary was told that its write is committed")
	}
}

func fact(t *testing.T, m *Member) cluster.Fact {
	t.Helper()
	r, err := m.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.Fact
}

// TestOneCommandsAServer: what was promised for a server binds every decider, and one without coordination keeps its hands off.
func TestOneCommandsAServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	put := func(change func(*cluster.State)) {
		t.Helper()
		if _, err := keeper.Change(t.Context(), w.store, "cluster-shop", func(s *cluster.State) error { change(s); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary, s.Timeline = 7, cluster.Serving, "db1", 1 })
	old, now := w.member("db2", "ha1", false), w.member("db2", "ha2", false)
	act := func(m *Member, a cluster.Action) error {
		a.Member = m.c.Member
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		defer stop()
		return m.Act(ctx, a)
	}
	for _, m := range []*Member{old, now} {
		defer m.hands.end()
		defer m.eyes.end()
	}
	follow := cluster.Action{Verb: cluster.Follow, Epoch: 7, From: "db1"}
	if err := act(old, follow); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); !streams(w.servers["db1"], t); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("db2 does not stream")
		}
	}
	if f := fact(t, old); f.Promised != 7 || f.Following != "db1" || f.Role != cluster.Standby {
		t.Errorf("fact %+v", f)
	}
	// Another host's keeper claims epoch 8; the first one never hears of it.
	put(func(s *cluster.State) { s.Epoch, s.Phase = 8, cluster.Fencing })
	if err := act(now, cluster.Action{Verb: cluster.Fence, Epoch: 8}); err != nil {
		t.Fatal(err)
	}
	if f := fact(t, now); f.Promised != 8 || f.Following != "" || streams(w.servers["db1"], t) {
		t.Errorf("fenced: %+v", f)
	}
	if err := act(old, follow); !errors.Is(err, peer.ErrRefused) {
		t.Errorf("the stale decider: %v", err)
	}
	if streams(w.servers["db1"], t) || w.servers["db2"].Ask(t, "show primary_conninfo") != "" {
		t.Error("db2 follows the old primary again")
	}
	lower := cluster.Action{Verb: cluster.Promote, Epoch: 7, Timeline: 2}
	if err := act(now, lower); !errors.Is(err, peer.ErrRefused) {
		t.Errorf("promoted under a lower epoch: %v", err)
	}
	without := cluster.Action{Verb: cluster.Promote, Epoch: 8, Timeline: 2}
	if err := act(now, without); !errors.Is(err, peer.ErrRefused) || !strings.Contains(err.Error(), "tenure") {
		t.Errorf("promoted without tenure: %v", err)
	}
	// A server whose marks are gone is judged by the state.
	w.servers["db2"].Exec(t, "select pg_drop_replication_slot(slot_name) from pg_replication_slots")
	if err := act(now, follow); !errors.Is(err, peer.ErrRefused) {
		t.Errorf("without a mark: %v", err)
	}
	if f := fact(t, now); f.Promised != 0 {
		t.Errorf("without a mark it promised %d", f.Promised)
	}
	// One host that decides by itself finds the lock taken.
	alone := w.member("db2", "ha3", true)
	defer alone.hands.end()
	var locked *LockedError
	if err := act(alone, cluster.Action{Verb: cluster.Fence, Epoch: 9}); !errors.As(err, &locked) || !strings.Contains(locked.Who, "ha2") {
		t.Errorf("a second decider: %v", err)
	}
	// One that decides for another cluster does so too, though it has a coordination of its own, and ends nobody's session.
	w.cfg.Cluster = "crm"
	other := w.member("db2", "ha4", false)
	w.cfg.Cluster = "shop"
	defer other.hands.end()
	if err := act(other, cluster.Action{Verb: cluster.Fence, Epoch: 9}); !errors.As(err, &locked) || locked.Cluster != "shop" || !strings.Contains(err.Error(), "belongs to cluster shop") {
		t.Errorf("a decider of another cluster: %v", err)
	}
	if err := act(now, cluster.Action{Verb: cluster.Fence, Epoch: 9}); err != nil {
		t.Errorf("the first one, after that: %v", err)
	}
	// A promotion that was asked for before can't be taken back: no promise is made beside it.
	w.servers["db2"].Exec(t, "select pg_create_physical_replication_slot('"+now.tag+"l9')", "select pg_promote(false)")
	if err := act(now, cluster.Action{Verb: cluster.Fence, Epoch: 10}); !errors.Is(err, peer.ErrRefused) {
		t.Errorf("while it is being promoted: %v", err)
	}
	if f := fact(t, now); f.Promised != 9 || f.Role != cluster.Primary || f.Epoch != 9 {
		t.Errorf("after that %+v", f)
	}
	// The primary can't be stopped, and says so; it is read-only for those who play by the rules.
	primary := w.member("db1", "ha2", false)
	defer primary.hands.end()
	defer primary.eyes.end()
	if err := act(primary, cluster.Action{Verb: cluster.Fence, Epoch: 9}); !errors.Is(err, peer.ErrRefused) {
		t.Errorf("fence of a primary: %v", err)
	}
	if f := fact(t, primary); f.Role != cluster.Primary || f.Promised != 0 {
		t.Errorf("fenced primary: %+v", f)
	}
	if got := w.servers["db1"].Ask(t, "show default_transaction_read_only"); got != "on" {
		t.Errorf("default_transaction_read_only is %s", got)
	}
}

func streams(c *pgtest.Cluster, t *testing.T) bool {
	return c.Ask(t, "select count(*)::text from pg_stat_replication where state = 'streaming'") == "1"
}

func TestMarks(t *testing.T) {
	m := New(Config{Cluster: cluster.Config{Cluster: "shop"}, Now: func() time.Duration { return 0 }})
	other := New(Config{Cluster: cluster.Config{Cluster: "other"}, Now: func() time.Duration { return 0 }})
	names := m.tag + "p7 " + m.tag + "p12 " + m.tag + "l9 " + other.tag + "p99 " + m.tag + "x5 " + m.tag + "p backstay_shop"
	if p, l := m.oaths(names); p != 12 || l != 9 {
		t.Errorf("promised %d, led %d", p, l)
	}
	if q := rule(cluster.Quorum{K: 2, Names: []string{"a", `b"c`}}); q != `ANY 2 ("a", "b""c")` {
		t.Error(q)
	}
	if q := rule(cluster.Quorum{Names: []string{"a"}}); q != "" {
		t.Error(q)
	}
}

// TestTheTimelineOfALogThatEnded: while it was received the server said which it was; afterwards it only says what was replayed.
func TestTheTimelineOfALogThatEnded(t *testing.T) {
	m := New(Config{Cluster: cluster.Config{Cluster: "shop"}, Now: func() time.Duration { return 0 }})
	m.note(&sight{timeline: 3, at: 500, receiving: true}, 1)
	s := sight{timeline: 2, at: 500}
	if m.note(&s, 2); s.timeline != 3 {
		t.Errorf("timeline %d", s.timeline)
	}
	s = sight{timeline: 2, at: 400} // another log: it was made anew
	if m.note(&s, 3); s.timeline != 2 {
		t.Errorf("timeline %d", s.timeline)
	}
}
