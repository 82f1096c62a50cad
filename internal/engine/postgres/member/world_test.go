package member_test

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/lease/mem"
	"github.com/backstaydb/backstay/internal/peer"
)

const key = "clusters/shop"

// host is a member with its agent.
type host struct {
	t      *testing.T
	name   string
	pg     *pgtest.Cluster
	dir    string // of the agent
	server *member.Server
	agent  *agent.Agent
	end    func()
	w      *world
	mu     sync.Mutex
	said   []string
	saved  []tail
	dead   bool
}

// tail is log that a member saved before it discarded it.
type tail struct {
	from, to history.Position
	dir      string
}

// world is three members of a cluster and their agents.
type world struct {
	t     *testing.T
	cfg   cluster.Config
	store *mem.Store
	hosts []*host
	k     *keeper
	start time.Time
}

var small = map[string]string{"wal_log_hints": "on", "wal_keep_size": "512MB", "shared_buffers": "16MB", "max_connections": "40"}

func newWorld(t *testing.T, sync int) *world { return newWorldOf(t, pgtest.Default, sync) }

func newWorldOf(t *testing.T, version, sync int) *world {
	t.Helper()
	settings := maps.Clone(small)
	if version == 12 {
		delete(settings, "wal_keep_size")
		settings["wal_keep_segments"] = "32"
	}
	w := &world{t: t, store: mem.New(), start: time.Now()}
	w.cfg = cluster.Config{Cluster: "shop", Sync: sync, After: 600 * time.Millisecond, Peers: []cluster.Peer{{Name: "db1"}, {Name: "db2"}, {Name: "db3"}}}.WithDefaults()
	first := pgtest.New(t, pgtest.Options{Version: version, Settings: settings})
	servers := []*pgtest.Cluster{first, first.Standby(t, "db2"), first.Standby(t, "db3")}
	w.k = &keeper{cfg: w.cfg, store: w.store, members: map[string]peer.Member{}, log: w.log}
	for i, p := range w.cfg.Peers {
		h := &host{t: t, name: p.Name, pg: servers[i], dir: t.TempDir(), w: w}
		w.hosts = append(w.hosts, h)
		w.k.members[p.Name] = h
	}
	for _, h := range w.hosts {
		h.boot()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.k.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		for _, h := range w.hosts {
			h.end()
			if err := member.Halt(context.Background(), h.pg.Dir); err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

func (w *world) log(format string, args ...any) {
	w.t.Logf("%7.3f "+format, append([]any{time.Since(w.start).Seconds()}, args...)...)
}

func (h *host) conninfo() string {
	_, q, _ := strings.Cut(h.pg.SocketURL(pgtest.Admin), "host=")
	dir, _, _ := strings.Cut(q, "&")
	dir = strings.ReplaceAll(dir, "%2F", "/")
	return fmt.Sprintf("host=%s port=%d user=%s", dir, h.pg.Port, pgtest.Admin)
}

// boot starts the agent.
func (h *host) boot() {
	h.t.Helper()
	others := map[string]string{}
	for _, o := range h.w.hosts {
		if o != h {
			others[o.name] = o.conninfo()
		}
	}
	s, err := member.New(member.Config{
		Name: h.name, Dir: h.pg.Dir, URL: h.pg.SocketURL(pgtest.Admin), Members: others, Programs: h.pg.Programs, Aside: filepath.Join(h.dir, "aside"),
		Said: func(text string) { h.note(text) },
		Saved: func(from, to history.Position, dir string) {
			h.note("saved " + dir)
			h.mu.Lock()
			defer h.mu.Unlock()
			h.saved = append(h.saved, tail{from, to, dir})
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	a, err := agent.New(agent.Config{
		Cluster: h.w.cfg, Member: h.name, Dir: h.dir, Store: h.w.store, Key: key, Server: s,
		Voucher: func(name string) peer.Voucher { return h.w.host(name) },
		Tell:    func(e agent.Event) { h.note(e.Text) },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.server, h.agent, h.dead = s, a, false
	h.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
		s.Close()
	})
}

func (h *host) note(text string) {
	h.w.log("%s: %s", h.name, text)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, text)
}

func (h *host) heard(part string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.said, func(s string) bool { return strings.Contains(s, part) })
}

var errDead = fmt.Errorf("the host is down")

// die ends agent and server as the loss of the host does.
func (h *host) die() {
	h.t.Helper()
	h.mu.Lock()
	h.dead = true
	h.mu.Unlock()
	h.end()
	if err := member.Halt(context.Background(), h.pg.Dir); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) alive() (*agent.Agent, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		return nil, errDead
	}
	return h.agent, nil
}

func (h *host) Probe(ctx context.Context) (peer.Report, error) {
	a, err := h.alive()
	if err != nil {
		return peer.Report{}, err
	}
	return a.Probe(ctx)
}

func (h *host) Act(ctx context.Context, act cluster.Action) error {
	a, err := h.alive()
	if err != nil {
		return err
	}
	return a.Act(ctx, act)
}

func (h *host) Vouch(ctx context.Context, epoch uint64) (bool, error) {
	a, err := h.alive()
	if err != nil {
		return false, err
	}
	return a.Vouch(ctx, epoch)
}

func (w *world) host(name string) *host {
	for _, h := range w.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

// serving waits until a primary serves with all others streaming from it.
func (w *world) serving(epoch uint64) *host {
	w.t.Helper()
	s := w.k.until(w.t, fmt.Sprintf("epoch %d serves", epoch), func(s cluster.State) bool {
		return s.Epoch >= epoch && s.Phase == cluster.Serving && len(s.Quorums) == 1
	})
	return w.host(s.Primary)
}

// move asks for a switchover, again where the keeper saw something that refused it, and waits for the epoch that it leads to.
func (w *world) move(to *host, epoch uint64) {
	w.t.Helper()
	for range 10 {
		w.k.ask(cluster.Request{Kind: cluster.Switchover, To: to.name, By: "test"})
		s := w.k.until(w.t, "the switchover is decided", func(s cluster.State) bool {
			return !w.k.asks() && s.Phase == cluster.Serving && (s.Epoch >= epoch || strings.HasPrefix(s.Row, "refuse") || strings.HasPrefix(s.Row, "call off"))
		})
		if s.Epoch >= epoch {
			break
		}
		w.log("asked again: %s", s.Reason)
		time.Sleep(300 * time.Millisecond)
	}
	if is := w.serving(epoch); is != to {
		w.t.Fatalf("%s leads after the switchover", is.name)
	}
}

func (w *world) streaming(to *host, n int) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r, err := to.Probe(context.Background())
		if err == nil && len(r.Streams) >= n {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d stream from %s, want %d (%v)", len(r.Streams), to.name, n, err)
		}
	}
}

// becomes waits until a probe tells that a member is what it should be.
func (h *host) becomes(is func(cluster.Fact) bool) {
	h.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r, err := h.Probe(context.Background())
		if err == nil && is(r.Fact) {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s is %+v (%v)", h.name, r.Fact, err)
		}
	}
}

// writer commits numbers in order and knows which were acknowledged.
type writer struct {
	mu    sync.Mutex
	acked []int
	gap   time.Duration
	stop  func()
}

func (w *world) write() *writer {
	wr := &writer{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		last := time.Now()
		for n := 1; ctx.Err() == nil; n++ {
			if err := w.insert(ctx, n); err != nil {
				time.Sleep(2 * time.Millisecond)
				continue
			}
			wr.mu.Lock()
			wr.acked = append(wr.acked, n)
			wr.gap = max(wr.gap, time.Since(last))
			wr.mu.Unlock()
			last = time.Now()
		}
	}()
	wr.stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(wr.stop)
	return wr
}

// insert writes one row at whoever is primary by the state.
func (w *world) insert(ctx context.Context, n int) error {
	s := w.k.now1()
	h := w.host(s.Primary)
	if h == nil || s.Phase != cluster.Serving && s.Phase != cluster.Draining {
		return errDead
	}
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	conn, err := pgx.Connect(ctx, h.pg.SocketURL(pgtest.Admin))
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(ctx, "insert into rows values ($1)", n)
	return err
}

func (wr *writer) count() int {
	wr.mu.Lock()
	defer wr.mu.Unlock()
	return len(wr.acked)
}

func (wr *writer) grow(t *testing.T, by int) {
	t.Helper()
	want := wr.count() + by
	for deadline := time.Now().Add(20 * time.Second); wr.count() < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d rows, want %d", wr.count(), want)
		}
	}
}

// check finds all that was acknowledged until now on a server.
func (wr *writer) check(t *testing.T, h *host) {
	t.Helper()
	wr.mu.Lock()
	acked := slices.Clone(wr.acked) // before the server is asked: writes go on
	wr.mu.Unlock()
	conn := h.pg.Connect(t)
	rows, err := conn.Query(t.Context(), "select n from rows")
	if err != nil {
		t.Fatal(err)
	}
	have, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	there := map[int]bool{}
	for _, n := range have {
		there[n] = true
	}
	lost := slices.DeleteFunc(slices.Clone(acked), func(n int) bool { return there[n] })
	if len(lost) > 0 || len(acked) == 0 {
		t.Errorf("%s: of %d acknowledged rows these are lost: %v", h.name, len(acked), lost)
	}
}
