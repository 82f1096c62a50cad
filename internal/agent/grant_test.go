package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/route"
)

func TestALifeIsRecordedBeforeItIsGivenARoute(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		r, err := w.grant(life("p"))
		if err != nil || !w.recorded(life("p")) {
			t.Fatalf("granted: %v, recorded %v", err, w.recorded(life("p")))
		}
		if r.State != route.Serving || r.Epoch != 7 || r.For <= 0 || r.For > three.Lease || r.Address != "10.0.0.1:5432" || len(r.Replicas) != 2 {
			t.Errorf("route %+v", r)
		}
		w.set(func() { w.down = true })
		time.Sleep(time.Second)
		if _, err := w.grant(life("p")); err != nil {
			t.Errorf("a recorded life, without coordination: %v", err)
		}
		_, err = w.grant(life("q"))
		refused(t, "a life that can't be recorded", err)
	})
}

func TestARouteServesAsSoonAsTheStateDoes(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		in(t, func(t *testing.T, w *world) {
			w.end()
			w.set(func() { w.deaf = deaf })
			w.boot()
			w.serve()
			if _, err := w.grant(life("p")); err != nil {
				t.Fatal(err)
			}
			w.put(func(s *cluster.State) { s.Phase = cluster.Promoting })
			time.Sleep(time.Second)
			w.put(func(s *cluster.State) { s.Phase = cluster.Serving })
			time.Sleep(time.Millisecond)
			if r, err := w.grant(life("p")); err != nil || r.State != route.Serving {
				t.Errorf("deaf %v: right after it serves again: %+v, %v", deaf, r, err)
			}
			if deaf {
				return
			}
			w.put(func(s *cluster.State) { s.Phase, s.Epoch = cluster.Fencing, 8 })
			time.Sleep(time.Millisecond)
			_, err := w.grant(life("p"))
			refused(t, "a route right after a newer epoch was claimed", err)
		})
	}
}

func TestALifeThatAsksNoMoreIsForgotten(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		for range 20 {
			if _, err := w.grant(life("p")); err != nil {
				t.Fatal(err)
			}
			if _, err := w.grant(life("dead")); err != nil && time.Since(w.began) < 3*time.Second {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond)
		}
		for range 40 {
			if _, err := w.grant(life("p")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond)
		}
		if !w.recorded(life("p")) || w.recorded(life("dead")) {
			t.Fatalf("recorded: %v", w.state().Proxies)
		}
		w.set(func() { w.down = true })
		_, err := w.grant(life("dead"))
		refused(t, "a forgotten life, without coordination", err)
		w.set(func() { w.down = false })
		time.Sleep(time.Second)
		if _, err := w.grant(life("dead")); err != nil || !w.recorded(life("dead")) {
			t.Errorf("a forgotten life, later: %v", err)
		}
	})
}

func TestALifeThatIsBeingForgottenGetsNoRoute(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		if _, err := w.grant(life("late")); err != nil {
			t.Fatal(err)
		}
		tried := false
		w.set(func() {
			w.swapping = func(value []byte) {
				if strings.Contains(string(value), `"late"`) || tried {
					return
				}
				tried = true
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				if _, err := w.agent.Grant(ctx, route.Ask{Cluster: "shop", Proxy: life("late")}); err == nil {
					t.Error("it got a route while the state forgot it")
				}
			}
		})
		time.Sleep(10 * three.Lease)
		if !tried {
			t.Error("it was never forgotten")
		}
	})
}
