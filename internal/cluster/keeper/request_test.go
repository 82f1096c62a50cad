package keeper

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/route"
)

func TestSwitchover(t *testing.T) {
	run(t, three, func(w *world) {
		_, stop := w.keep(w.config())
		defer stop()
		w.settle()
		w.proxy.mu.Lock()
		w.proxy.open = 1 // a transaction that takes a while
		w.proxy.mu.Unlock()
		asked, err := Ask(w.t.Context(), w.store, "cluster-shop", cluster.Request{Kind: cluster.Switchover, To: "db2", By: "anna"})
		if err != nil {
			w.t.Fatal(err)
		}
		w.until("routes hold", time.Second, func(cluster.State) bool { return w.proxy.live().State == route.Holding })
		time.Sleep(200 * time.Millisecond)
		if s := w.state(); s.Phase != cluster.Draining || !w.commit(1) {
			t.Errorf("with a transaction open it is %s", s.Phase)
		}
		w.proxy.mu.Lock()
		w.proxy.open = 0
		w.proxy.mu.Unlock()
		begin := time.Now()
		after, err := Outcome(w.t.Context(), w.store, "cluster-shop", asked, nil)
		if err != nil || after.Primary != "db2" {
			w.t.Fatalf("after it %s is primary, %v", after.Primary, err)
		}
		if took := time.Since(begin); took > 300*time.Millisecond { // of which 80 are the promotion
			t.Errorf("it took %s", took)
		}
		w.whole()
		w.until("db1 follows without having parted", 2*time.Second, func(cluster.State) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.hosts["db1"].sight.Following == "db2" && w.hosts["db1"].sight.Streaming
		})
		if done := strings.Join(w.hosts["db1"].done, ", "); strings.Contains(done, "rejoin") {
			t.Errorf("db1: %s", done)
		}
	})
}

func TestASwitchoverIsCalledOff(t *testing.T) {
	run(t, three, func(w *world) {
		_, stop := w.keep(w.config())
		defer stop()
		w.settle()
		ask := func(to string) error {
			asked, err := Ask(w.t.Context(), w.store, "cluster-shop", cluster.Request{Kind: cluster.Switchover, To: to, By: "anna"})
			if err == nil {
				_, err = Outcome(w.t.Context(), w.store, "cluster-shop", asked, nil)
			}
			return err
		}
		w.proxy.mu.Lock()
		w.proxy.open = 1 // a transaction that never ends
		w.proxy.mu.Unlock()
		var refused *RefusedError
		if err := ask("db2"); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "not drained") {
			t.Errorf("with a transaction that never ends: %v", err)
		}
		w.until("it serves on", time.Second, func(cluster.State) bool { return w.proxy.live().State == route.Serving })
		if err := ask("db9"); !errors.As(err, &refused) {
			t.Errorf("to nobody: %v", err)
		}
		if err := ask("db1"); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("to the primary: %v", err)
		}
		w.kill("db2")
		time.Sleep(1500 * time.Millisecond)
		if err := ask("db2"); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "does not answer") {
			t.Errorf("to a dead member: %v", err)
		}
		if s := w.state(); s.Epoch != 1 || s.Primary != "db1" {
			t.Errorf("%s is primary of epoch %d", s.Primary, s.Epoch)
		}
	})
}

func TestNothingIsDoneWhilePaused(t *testing.T) {
	run(t, three, func(w *world) {
		_, stop := w.keep(w.config())
		defer stop()
		w.settle()
		if err := Pause(w.t.Context(), w.store, "cluster-shop", true); err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		w.mu.Lock()
		w.hosts["db2"].sight.Following, w.hosts["db2"].sight.Streaming, w.hosts["db2"].done = "", false, nil // a person works on it
		w.mu.Unlock()
		time.Sleep(2 * time.Second)
		w.mu.Lock()
		if len(w.hosts["db2"].done) > 0 {
			t.Errorf("paused, db2 was told: %v", w.hosts["db2"].done)
		}
		w.mu.Unlock()
		w.kill("db1")
		time.Sleep(5 * time.Second)
		if s := w.state(); s.Epoch != 1 || s.Phase != cluster.Serving {
			t.Errorf("paused, it is %s at epoch %d", s.Phase, s.Epoch)
		}
		if err := Pause(w.t.Context(), w.store, "cluster-shop", false); err != nil {
			w.t.Fatal(err)
		}
		w.until("resumed, db3 takes over", 5*time.Second, serves("db3"))
		w.whole()
	})
}

func TestRequestsAreRefusedInPlainWords(t *testing.T) {
	run(t, three, func(w *world) {
		r := cluster.Request{Kind: cluster.Switchover, To: "db2", By: "anna"}
		if _, err := Ask(w.t.Context(), w.store, "cluster-shop", r); err == nil {
			t.Error("a cluster that never was took a request")
		}
		k, stop := w.keep(w.config())
		w.settle()
		stop()
		time.Sleep(time.Second)
		if s := k.Status(); s.State.Primary != "db1" || len(s.View.Facts) != 3 {
			t.Errorf("status %+v", s)
		}
		if _, err := Ask(w.t.Context(), w.store, "cluster-shop", r); err != nil {
			w.t.Fatal(err)
		}
		if _, err := Ask(w.t.Context(), w.store, "cluster-shop", r); err != nil {
			t.Errorf("the same again: %v", err)
		}
		other := cluster.Request{Kind: cluster.Failover, By: "ben"}
		if _, err := Ask(w.t.Context(), w.store, "cluster-shop", other); err == nil || !strings.Contains(err.Error(), "asked for by anna is under way") {
			t.Errorf("another one: %v", err)
		}
	})
}

// TestAStuckBallotIsReleased: a second member dies before it has promised. What was acknowledged is then known to nobody, and the cluster waits until
// a person accepts that.
func TestAStuckBallotIsReleased(t *testing.T) {
	run(t, three, func(w *world) {
		_, stop := w.keep(w.config())
		defer stop()
		w.settle()
		w.mu.Lock()
		w.tell = func(e Event) {
			if e.Kind == Changed && e.Phase == cluster.Fencing {
				w.kill("db2")
			}
		}
		w.mu.Unlock()
		w.kill("db1")
		w.until("the ballot begins", 5*time.Second, func(s cluster.State) bool { return s.Phase == cluster.Fencing })
		time.Sleep(10 * time.Second)
		if s := w.state(); s.Phase != cluster.Fencing || s.Epoch != 2 {
			w.t.Fatalf("it is %s at epoch %d", s.Phase, s.Epoch)
		}
		r := cluster.Request{Kind: cluster.Failover, By: "anna"}
		var busy *cluster.BusyError
		if _, err := Ask(w.t.Context(), w.store, "cluster-shop", r); !errors.As(err, &busy) || !busy.Release {
			t.Errorf("a failover that may lose nothing: %v", err)
		}
		r.Lose = true
		asked, err := Ask(w.t.Context(), w.store, "cluster-shop", r)
		if err != nil {
			w.t.Fatal(err)
		}
		after, err := Outcome(w.t.Context(), w.store, "cluster-shop", asked, nil)
		if err != nil || after.Primary != "db3" || after.Epoch != 2 {
			t.Errorf("after it %s is primary of epoch %d, %v", after.Primary, after.Epoch, err)
		}
	})
}
