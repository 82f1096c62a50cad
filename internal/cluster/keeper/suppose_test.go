package keeper

import (
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

// TestSupposingChangesNothing, and says what would come of a request, by whichever keeper is asked.
func TestSupposingChangesNothing(t *testing.T) {
	run(t, three, func(w *world) {
		k, stop := w.keep(w.config())
		defer stop()
		w.settle()
		time.Sleep(time.Second) // it has seen what was committed
		before := w.state()
		suppose := func(kind cluster.Kind, to string) cluster.Forecast {
			f, err := k.Suppose(w.t.Context(), cluster.Request{Kind: kind, To: to, By: "anna"})
			if err != nil {
				w.t.Fatal(err)
			}
			return f
		}
		if f := suppose(cluster.Switchover, "db2"); f.Row != "drain" || f.Primary != "db2" || f.Has.Seq != 110 || f.Risk != "" {
			t.Errorf("switchover: %+v", f)
		}
		if f := suppose(cluster.Failover, ""); f.Row != "take over on request" || f.Primary != "db3" || f.Has.Seq != 110 || !strings.Contains(f.End, "all that was acknowledged") {
			t.Errorf("failover: %+v", f)
		}
		w.kill("db2")
		time.Sleep(1200 * time.Millisecond)
		if f := suppose(cluster.Failover, "db2"); f.Row != "refuse failover" || f.Primary != "" || !strings.Contains(f.Reason, "db2 does not answer; fit is db3") {
			t.Errorf("failover to one that is gone: %+v", f)
		}
		if after := w.state(); after.Step != before.Step || after.Epoch != before.Epoch || after.Request != nil {
			t.Errorf("it changed the state: %+v", after)
		}
		if _, err := Ask(w.t.Context(), w.store, "cluster-shop", cluster.Request{Kind: cluster.Failover, By: "anna"}); err != nil {
			w.t.Fatal(err)
		}
		w.until("db3 takes over", 5*time.Second, serves("db3"))
	})
}

func TestNothingIsSupposedWithoutTheState(t *testing.T) {
	run(t, three, func(w *world) {
		k, err := New(w.config())
		if err != nil {
			t.Fatal(err)
		}
		if f, err := k.Suppose(w.t.Context(), cluster.Request{Kind: cluster.Failover}); err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("%+v, %v", f, err)
		}
	})
}
