package agent

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/lease/mem"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/route"
)

const key = "clusters/shop"

var three = cluster.Config{Cluster: "shop", Sync: 1, Peers: []cluster.Peer{
	{Name: "db1", Address: "10.0.0.1:5432", Agent: "10.0.0.1:7000"}, {Name: "db2", Address: "10.0.0.2:5432"}, {Name: "db3", Address: "10.0.0.3:5432"},
}}.WithDefaults()

// fake is a server of words.
type fake struct {
	mu       sync.Mutex
	s        Sight
	done     []string
	hung     bool          // Look gets no answer
	slow     time.Duration // of Lead, Count and Start
	stubborn bool          // it is not held up by the end of a context
	unheard  bool          // Lead fails after the server was told
	broken   bool          // it does not start
	leaves   time.Time     // when it last stopped
	look     func()        // called in the middle of a look
	streams  history.Position
	retires  func() // is called when it begins
}

func (f *fake) did(what string) {
	f.done = append(f.done, what)
}

func (f *fake) count(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, d := range f.done {
		if d == what {
			n++
		}
	}
	return n
}

func (f *fake) change(do func(*Sight)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do(&f.s)
}

func (f *fake) role() cluster.Role {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.s.Role
}

func (f *fake) Look(ctx context.Context) (Sight, error) {
	f.mu.Lock()
	hung, look := f.hung, f.look
	f.mu.Unlock()
	if hung {
		<-ctx.Done()
		f.mu.Lock()
		defer f.mu.Unlock()
		return Sight{Stalled: f.s.Stalled}, ctx.Err()
	}
	if look != nil {
		look()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.s, nil
}

func (f *fake) wait(ctx context.Context) error {
	if f.stubborn {
		ctx = context.Background()
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(f.slow):
		return nil
	}
}

func (f *fake) Start(ctx context.Context, as cluster.Role) error {
	if err := f.wait(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("start " + string(as))
	if f.broken {
		return errors.New("it does not start")
	}
	f.s.Role, f.s.Following = as, ""
	return nil
}

func (f *fake) Stop(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("stop")
	f.s.Role, f.s.Following, f.hung, f.leaves = cluster.Stopped, "", false, time.Now()
	return nil
}

// Retire is a stop too.
func (f *fake) Retire(ctx context.Context) error {
	if f.retires != nil {
		f.retires()
	}
	if err := f.Stop(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("retire")
	return nil
}

func (f *fake) Detach(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("detach")
	f.s.Following = ""
	return nil
}

func (f *fake) Follow(_ context.Context, member string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("follow " + member)
	f.s.Role, f.s.Following, f.s.Streaming = cluster.Standby, member, !f.s.Parted
	if f.s.Received.Before(f.streams) {
		f.s.Received = f.streams
	}
	return nil
}

func (f *fake) Lead(ctx context.Context, l Lead, still func() bool) error {
	if err := f.wait(ctx); err != nil {
		return err
	}
	if !still() {
		return errors.New("no tenure any more")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("lead")
	if f.unheard {
		return errors.New("it was told, and nobody knows what came of it")
	}
	f.s.Role, f.s.Received = cluster.Primary, history.At(l.Timeline, f.s.Received.Seq+1)
	return nil
}

func (f *fake) Hurry(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("hurry")
	return nil
}

func (f *fake) Flush(context.Context) error { return nil }

func (f *fake) Count(ctx context.Context, _ cluster.Quorum) (history.Position, error) {
	if err := f.wait(ctx); err != nil {
		return history.Position{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("count")
	return f.s.Received, nil
}

func (f *fake) Rejoin(ctx context.Context, member string, _ uint32, begun func(history.Position) error) error {
	if err := begun(history.At(2, 500)); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("rejoin " + member)
	f.s.Role, f.s.Following, f.s.Parted, f.s.Empty = cluster.Standby, member, false, false
	return nil
}

// world is one agent, the store, and the other members' word. It is to be used in a bubble of synctest.
type world struct {
	t      *testing.T
	dir    string
	mem    *mem.Store
	server *fake
	agent  *Agent
	end    func()
	began  time.Time

	deadline *Deadline // nil: no guard runs

	mu       sync.Mutex
	down     bool               // the store
	deny     bool               // the others know a newer epoch
	mute     bool               // one of them does not answer
	asked    int                // how often the others were
	deaf     bool               // no change is told
	swapping func(value []byte) // called while a swap is under way
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), mem: mem.New(), began: time.Now()}
	w.server = &fake{s: Sight{Role: cluster.Standby, SystemID: "1", Received: history.At(1, 100), Heard: -1, Stalled: -1}}
	return w
}

func (w *world) now() time.Duration { return time.Hour + time.Since(w.began) }

// boot starts a new life of the agent of db1.
func (w *world) boot() {
	w.t.Helper()
	a, err := New(Config{
		Cluster: three, Member: "db1", Dir: w.dir, Store: w, Key: key, Server: w.server, Now: w.now, Deadline: w.deadline,
		Voucher: func(string) peer.Voucher { return w },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.agent = a
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	w.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	time.Sleep(10 * time.Millisecond)
}

// state is what the store has; put changes it as a keeper does.
func (w *world) state() (s cluster.State) {
	w.t.Helper()
	e, err := w.mem.Get(context.Background(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	if e.Revision > 0 {
		if err := json.Unmarshal(e.Value, &s); err != nil {
			w.t.Fatal(err)
		}
	}
	return s
}

func (w *world) put(change func(*cluster.State)) {
	w.t.Helper()
	e, err := w.mem.Get(context.Background(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	s := w.state()
	change(&s)
	s.Step++
	b, err := json.Marshal(s)
	if err == nil {
		_, err = w.mem.Swap(context.Background(), key, e.Revision, b)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// serve makes db1 primary of epoch 7, as keepers do.
func (w *world) serve() {
	w.t.Helper()
	w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary, s.Timeline = 7, cluster.Promoting, "db1", 2 })
	if err := w.act(cluster.Action{Verb: cluster.Promote, Epoch: 7, Upto: history.At(1, 100), Timeline: 2, Quorum: quorum(3)}); err != nil {
		w.t.Fatal(err)
	}
	w.put(func(s *cluster.State) { s.Phase = cluster.Serving })
	time.Sleep(time.Second)
	if f := w.probe(); f.Role != cluster.Primary || f.Epoch != 7 {
		w.t.Fatalf("not primary of epoch 7: %+v", f)
	}
}

func quorum(step uint64) cluster.Quorum {
	return cluster.Quorum{Step: step, Epoch: 7, Primary: "db1", Names: []string{"db2", "db3"}, K: 1}
}

func (w *world) act(a cluster.Action) error {
	a.Member = "db1"
	return w.agent.Act(context.Background(), a)
}

func (w *world) probe() cluster.Fact {
	w.t.Helper()
	asked := w.now()
	r, err := w.agent.Probe(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Seen(asked, w.now())
}

func (w *world) set(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

var errDown = errors.New("no coordination")

func (w *world) away() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down
}

func (w *world) Get(ctx context.Context, k string) (lease.Entry, error) {
	if w.away() {
		<-ctx.Done()
		return lease.Entry{}, errDown
	}
	return w.mem.Get(ctx, k)
}

func (w *world) Swap(ctx context.Context, k string, from uint64, value []byte) (lease.Entry, error) {
	if w.away() {
		<-ctx.Done()
		return lease.Entry{}, errDown
	}
	w.mu.Lock()
	swapping := w.swapping
	w.mu.Unlock()
	if swapping != nil {
		swapping(value)
	}
	return w.mem.Swap(ctx, k, from, value)
}

func (w *world) Watch(ctx context.Context, k string, from uint64, tell func(lease.Entry)) error {
	w.mu.Lock()
	deaf := w.deaf || w.down
	w.mu.Unlock()
	if deaf {
		return errDown
	}
	return w.mem.Watch(ctx, k, from, func(e lease.Entry) {
		if !w.away() {
			tell(e)
		}
	})
}

func (w *world) Leads(context.Context) (bool, error) { return true, nil }
func (w *world) Close() error                        { return nil }

func (w *world) Vouch(ctx context.Context, _ uint64) (bool, error) {
	w.mu.Lock()
	mute, deny := w.mute, w.deny
	w.asked++
	w.mu.Unlock()
	if mute {
		<-ctx.Done()
		return false, ctx.Err()
	}
	return !deny, nil
}

func life(name string) route.ID { return route.ID{Name: name, Life: "1"} }

func (w *world) grant(id route.ID) (route.Route, error) {
	return w.agent.Grant(context.Background(), route.Ask{Cluster: "shop", Proxy: id})
}

func (w *world) recorded(id route.ID) bool { return slices.Contains(w.state().Proxies, id) }
