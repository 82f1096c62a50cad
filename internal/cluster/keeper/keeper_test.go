package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/route"
)

// settle brings a new world to serving, with the proxy's route.
func (w *world) settle() {
	w.t.Helper()
	w.until("adopt db1", 5*time.Second, func(s cluster.State) bool { return serves("db1")(s) && w.proxy.live().State == route.Serving })
	time.Sleep(2 * time.Second)
	if !w.commit(10) {
		w.t.Fatal("db1 acknowledges nothing")
	}
}

func TestADeadPrimaryIsReplaced(t *testing.T) {
	run(t, three, func(w *world) {
		_, stop := w.keep(w.config())
		defer stop()
		w.settle()
		w.kill("db1")
		took := w.until("db3 takes over", 5*time.Second, serves("db3")) // of equal logs the higher priority
		if took > 2500*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		w.until("the proxy follows", time.Second, func(cluster.State) bool { return w.proxy.live().Primary == "db3" })
		if w.commit(1); w.state().Epoch != 2 {
			t.Errorf("epoch %d", w.state().Epoch)
		}
		w.whole()
		w.mu.Lock()
		w.hosts["db1"].down = false
		w.mu.Unlock()
		w.until("db1 comes back as a standby", 5*time.Second, func(cluster.State) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			s := w.hosts["db1"].sight
			return s.Role == cluster.Standby && s.Following == "db3" && s.Streaming
		})
		w.whole()
	})
}

// TestAKeeperDiesAfterEachStep: whatever it did last, the next one goes on, and nothing is lost.
func TestAKeeperDiesAfterEachStep(t *testing.T) {
	t.Run("failover", func(t *testing.T) {
		dies(t, 8, func(w *world) { w.kill("db1") }, func(s cluster.State) bool { return serves("")(s) && s.Primary != "db1" })
	})
	t.Run("switchover", func(t *testing.T) {
		dies(t, 8, func(w *world) {
			if _, err := Ask(w.t.Context(), w.store, "cluster-shop", cluster.Request{Kind: cluster.Switchover, To: "db2", By: "anna"}); err != nil {
				w.t.Fatal(err)
			}
		}, func(s cluster.State) bool { return serves("")(s) && s.Request == nil })
	})
}

// dies kills a keeper after its first, second … change or action since something began, and starts another one. At least so many there must be.
func dies(t *testing.T, least int, begin func(*world), done func(cluster.State) bool) {
	t.Helper()
	for step := 1; ; step++ {
		over := false
		run(t, three, func(w *world) {
			_, stop := w.keep(w.config())
			w.settle()
			w.commit(5)
			n := 0
			w.mu.Lock()
			w.tell = func(e Event) {
				if e.Kind == Changed || e.Kind == Acted {
					if n++; n == step {
						stop()
					}
				}
			}
			w.mu.Unlock()
			begin(w)
			time.Sleep(3 * time.Second)
			w.mu.Lock()
			over, w.tell = n < step, nil
			w.mu.Unlock()
			_, end := w.keep(w.config())
			w.until(fmt.Sprintf("keeper dead after step %d", step), 10*time.Second, done)
			w.until("the proxy carries", 2*time.Second, func(s cluster.State) bool { return w.proxy.live().Primary == s.Primary })
			if !w.commit(1) {
				t.Errorf("keeper dead after step %d: %s acknowledges nothing", step, w.state().Primary)
			}
			w.whole()
			stop()
			end()
		})
		if over || t.Failed() {
			if step < least && !t.Failed() {
				t.Errorf("there are %d steps only", step)
			}
			return
		}
	}
}

// slowStore answers one keeper's next swap late.
type slowStore struct {
	lease.Store
	slow atomic.Bool
	wait chan struct{}
}

func (s *slowStore) Swap(ctx context.Context, key string, from uint64, value []byte) (lease.Entry, error) {
	if s.slow.Load() {
		<-s.wait
	}
	return s.Store.Swap(context.WithoutCancel(ctx), key, from, value)
}

// TestAStaleKeeperChangesNothing: its claim comes when another one has claimed already, and its orders come after that too.
func TestAStaleKeeperChangesNothing(t *testing.T) {
	run(t, three, func(w *world) {
		slow := &slowStore{Store: w.store, wait: make(chan struct{})}
		c := w.config()
		c.Store = slow
		_, stop := w.keep(c)
		w.settle()
		slow.slow.Store(true)
		w.kill("db1")
		time.Sleep(1500 * time.Millisecond) // it has decided, and its swap is on the way
		_, end := w.keep(w.config())
		w.until("the other one brings db3", 5*time.Second, serves("db3"))
		before := w.state()
		close(slow.wait)
		time.Sleep(2 * time.Second)
		if s := w.state(); s.Epoch != before.Epoch || s.Primary != "db3" || s.Step != before.Step {
			t.Errorf("after the stale claim: %+v, before %+v", s, before)
		}
		for _, a := range []cluster.Action{
			{Verb: cluster.Follow, Epoch: 1, Member: "db2", From: "db1"},
			{Verb: cluster.Promote, Epoch: 1, Member: "db2", Timeline: 2},
			{Verb: cluster.Fence, Epoch: 1, Member: "db3"},
		} {
			if err := w.hosts[a.Member].Act(w.t.Context(), a); !errors.Is(err, peer.ErrRefused) {
				t.Errorf("%s: %v", a, err)
			}
		}
		w.commit(1)
		w.whole()
		stop()
		end()
		w.mu.Lock()
		defer w.mu.Unlock()
		if strings.Contains(text(w.events), "change the state") {
			t.Errorf("being too late was told as a failure:\n%s", text(w.events))
		}
	})
}

// TestABeatIsASignOfLife, the last one, of a primary that neither keepers nor proxies nor replicas hear.
func TestABeatIsASignOfLife(t *testing.T) {
	run(t, three, func(w *world) {
		_, stop := w.keep(w.config())
		defer stop()
		w.settle()
		w.proxy.mu.Lock()
		w.proxy.mute = true
		w.proxy.mu.Unlock()
		w.mu.Lock()
		w.hosts["db1"].cut = true
		w.mu.Unlock()
		time.Sleep(4 * time.Second)
		if s := w.state(); s.Epoch != 1 {
			t.Errorf("it was failed over: %s", s.Reason)
		}
		w.kill("db1")
		if took := w.until("db3 takes over", 5*time.Second, serves("db3")); took < 1500*time.Millisecond {
			t.Errorf("after %s, though the proxy may carry for a lease after the last beat", took)
		}
	})
}

// hanging is a member that heeds no deadline.
type hanging struct {
	peer.Member
	wait       time.Duration
	mu         sync.Mutex
	busy, most int
}

func (h *hanging) count(by int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy += by
	h.most = max(h.most, h.busy)
}

func (h *hanging) Probe(ctx context.Context) (peer.Report, error) {
	h.count(1)
	time.Sleep(h.wait)
	h.count(-1)
	return peer.Report{Fact: cluster.Fact{Name: "db2", Role: cluster.Standby}}, nil
}

// TestAnAnswerThatComesLateIsNone, and who does not answer is not asked without bound.
func TestAnAnswerThatComesLateIsNone(t *testing.T) {
	run(t, three, func(w *world) {
		c := w.config()
		h := &hanging{wait: 1100 * time.Millisecond}
		c.Members["db2"] = h
		k, stop := w.keep(c)
		time.Sleep(4 * time.Second)
		if s := k.Status(); s.View.Facts[1].Answered != cluster.Never || s.View.Facts[0].Answered == cluster.Never {
			t.Errorf("facts %+v", s.View.Facts)
		}
		h.mu.Lock()
		if h.most > atOnce || h.most < 2 {
			t.Errorf("%d questions waited at once", h.most)
		}
		h.mu.Unlock()
		stop()
		time.Sleep(2 * time.Second)
	})
}

func TestNotes(t *testing.T) {
	id := route.ID{Name: "app", Life: "1"}
	for _, c := range []struct {
		name  string
		ack   route.Ack
		heard time.Duration
		want  cluster.Proxy
	}{
		{"nothing stands", route.Ack{Proxy: id, Epoch: 7, Version: 4, Closed: true}, time.Second, cluster.Proxy{ID: id, Answered: 10 * time.Second, Heard: 9 * time.Second, Closed: 7, Epoch: 7}},
		{"something stands", route.Ack{Proxy: id, Epoch: 7, Version: 4}, -1, cluster.Proxy{ID: id, Answered: 10 * time.Second, Heard: cluster.Never, Epoch: 7}},
		{"drained", route.Ack{Proxy: id, Epoch: 7, Version: 4, Drained: true}, -1, cluster.Proxy{ID: id, Answered: 10 * time.Second, Heard: cluster.Never, Epoch: 7, Drained: 4}},
	} {
		if got := proxyOf(c.ack, c.heard, 10*time.Second); got != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	k := &Keeper{now: func() time.Duration { return 0 }, view: cluster.View{Facts: []cluster.Fact{{Name: "db1", Answered: cluster.Never}}}}
	k.note(t.Context(), 0, cluster.Fact{Name: "db1", Answered: 2, Promised: 8})
	k.note(t.Context(), 0, cluster.Fact{Name: "db1", Answered: 1, Promised: 7})
	if k.view.Facts[0].Promised != 8 {
		t.Error("an older answer replaced a newer one")
	}
	k.noteProxy(t.Context(), cluster.Proxy{ID: id, Answered: 2, Epoch: 7, Heard: 2})
	k.noteProxy(t.Context(), cluster.Proxy{ID: id, Answered: 1, Epoch: 6, Closed: 6})
	if p := k.view.Proxies[0]; p.Epoch != 7 || p.Closed != 6 || p.Heard != 2 {
		t.Errorf("an older ack: %+v", p) // what it closed counts all the same
	}
}

// TestAFrozenKeeperBeginsAnew: what nobody could say while it stood still is no silence.
func TestAFrozenKeeperBeginsAnew(t *testing.T) {
	run(t, three, func(w *world) {
		c := w.config()
		var jump atomic.Int64
		c.Now = func() time.Duration { return w.now() + time.Duration(jump.Load()) }
		k, stop := w.keep(c)
		w.settle()
		for _, h := range w.hosts { // the primary's answer is the last to come
			w.mu.Lock()
			h.late = map[bool]time.Duration{true: 40 * time.Millisecond, false: time.Millisecond}[h.name == "db1"]
			w.mu.Unlock()
		}
		w.proxy.mu.Lock()
		w.proxy.mute = true
		w.proxy.mu.Unlock()
		time.Sleep(time.Second)
		jump.Store(int64(10 * time.Second))
		time.Sleep(3 * time.Second)
		if s := w.state(); s.Epoch != 1 {
			t.Errorf("it was failed over: %s", s.Reason)
		}
		if s := k.Status(); s.Decision.Row != "serve" || !s.Leading || s.View.Began < time.Hour+10*time.Second {
			t.Errorf("status %s, began at %s", s.Decision.Row, s.View.Began)
		}
		stop()
	})
}

// TestAuditComesFirst where nobody waits for a primary; else it comes at once, and in the order of what was decided.
func TestAuditComesFirst(t *testing.T) {
	hurried := []string{"take over", "promote", "open"}
	run(t, three, func(w *world) {
		var entries []Entry
		w.record = func(e Entry) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			s, _, err := Read(context.Background(), w.store, "cluster-shop")
			if err != nil || e.Change && !slices.Contains(hurried, e.Row) && s.Row == e.Row && s.Epoch == e.Epoch && s.Phase == e.Phase {
				t.Errorf("%+v was written after %+v, %v", e, s, err)
			}
			entries = append(entries, e)
			return nil
		}
		_, stop := w.keep(w.config())
		defer stop()
		w.settle()
		w.kill("db1")
		w.until("db3 takes over", 5*time.Second, serves("db3"))
		w.mu.Lock()
		defer w.mu.Unlock()
		var rows []string
		for _, e := range entries {
			if e.Reason == "" || e.Cluster != "shop" || e.Change == (e.Action != "") {
				t.Errorf("entry %+v", e)
			}
			if e.Change {
				rows = append(rows, e.Row)
			}
		}
		if got := strings.Join(rows, ", "); !strings.HasPrefix(got, "adopt, open, ") || !strings.Contains(got, "take over, promote, open") {
			t.Errorf("changes: %s", got)
		}
	})
}

// TestAnAuditLogThatHangsKeepsNobodyDown, nor one that fails, and both are told.
func TestAnAuditLogThatHangsKeepsNobodyDown(t *testing.T) {
	run(t, three, func(w *world) {
		_, stop := w.keep(w.config())
		defer stop()
		w.settle()
		hang, calls := make(chan struct{}), 0
		w.mu.Lock()
		w.record = func(Entry) error {
			if calls++; calls == 1 {
				return errors.New("the disk is full")
			}
			<-hang
			return nil
		}
		w.mu.Unlock()
		w.kill("db1")
		if took := w.until("db3 takes over", 5*time.Second, serves("db3")); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
		close(hang)
		w.mu.Lock()
		defer w.mu.Unlock()
		if !strings.Contains(text(w.events), "audit log") {
			t.Errorf("not told:\n%s", text(w.events))
		}
	})
}

// TestTheRepositorySavesWhatTheReplicasLack: replication is asynchronous and lags, the log in the repository does not.
func TestTheRepositorySavesWhatTheReplicasLack(t *testing.T) {
	cfg := three
	cfg.Sync, cfg.MaxLoss, cfg.Peers = 0, 50, []cluster.Peer{{Name: "db1", Guard: true}, {Name: "db2", Guard: true}, {Name: "db3", Guard: true}}
	run(t, cfg, func(w *world) {
		c := w.config()
		c.Repository = w
		_, stop := w.keep(c)
		defer stop()
		w.settle()
		w.mu.Lock()
		for _, name := range []string{"db2", "db3"} {
			w.hosts[name].sight.Streaming = false
		}
		at := w.hosts["db1"].sight.Received
		at.Seq += 200
		w.hosts["db1"].sight.Received = at
		w.stored = history.At(at.Timeline, at.Seq-10)
		w.mu.Unlock()
		time.Sleep(1500 * time.Millisecond)
		w.kill("db1")
		w.until("it asks for the log in the repository", 8*time.Second, func(cluster.State) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return strings.Contains(text(w.events), "from (repository)")
		})
		w.mu.Lock()
		for _, name := range []string{"db2", "db3"} { // as an agent does that can
			w.hosts[name].sight.Received = w.stored
		}
		w.mu.Unlock()
		w.until("then one of them is primary", 5*time.Second, func(s cluster.State) bool { return serves("")(s) && s.Primary != "db1" })
		if s := w.state(); s.Start.Seq != at.Seq-10 {
			t.Errorf("it began at %s", s.Start.Plain())
		}
	})
}

// TestAServerThatStoppedIsNotWaitedFor: its agent says so, which is no silence.
func TestAServerThatStoppedIsNotWaitedFor(t *testing.T) {
	run(t, three, func(w *world) {
		_, stop := w.keep(w.config())
		defer stop()
		w.settle()
		w.mu.Lock()
		h := w.hosts["db1"]
		h.sight.Role, h.broken = cluster.Stopped, true
		w.mu.Unlock()
		took := w.until("another one takes over", 5*time.Second, func(s cluster.State) bool { return serves("")(s) && s.Primary != "db1" })
		if took > 600*time.Millisecond { // a look of 150 ms, the ballot, 80 ms of promotion
			t.Errorf("it took %s", took)
		}
		w.whole()
	})
}

// TestAReplicaIsAwayThenThePrimary: it was left out by then, so that the other one is known to have all that was acknowledged.
func TestAReplicaIsAwayThenThePrimary(t *testing.T) {
	run(t, three, func(w *world) {
		k, stop := w.keep(w.config())
		defer stop()
		w.settle()
		hindrance := func() string {
			s := k.Status()
			return cluster.Hindrance(w.cfg, s.State, s.View, s.Now)
		}
		w.kill("db3")
		time.Sleep(2 * time.Second)
		if why := hindrance(); !strings.Contains(why, "1 of [db2 db3] answer") {
			t.Errorf("while db3 is counted: %q", why)
		}
		w.until("db3 is left out", 5*time.Second, func(s cluster.State) bool {
			return serves("db1")(s) && slices.Equal(s.Quorums[0].Names, []string{"db2"})
		})
		time.Sleep(500 * time.Millisecond)
		if why := hindrance(); why != "" || !w.commit(10) {
			t.Errorf("while it is left out: %q", why)
		}
		w.kill("db1")
		w.until("db2 takes over", 5*time.Second, func(s cluster.State) bool { return s.Phase == cluster.Serving && s.Primary == "db2" })
		w.whole()
	})
}
