package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/peer"
)

// in runs a test in a world of its own, with a clock that takes no time.

func in(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.end() }()
		test(t, w)
	})
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, peer.ErrRefused) {
		t.Errorf("%s: %v, want a refusal", what, err)
	}
}

func TestAPromiseOutlivesTheAgent(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		if err := w.act(cluster.Action{Verb: cluster.Fence, Epoch: 5}); err != nil {
			t.Fatal(err)
		}
		w.end()
		w.boot()
		if f := w.probe(); f.Promised != 5 || f.Vouched < w.now()-time.Second {
			t.Errorf("after a start: %+v", f)
		}
		refused(t, "fence of a lower epoch", w.act(cluster.Action{Verb: cluster.Fence, Epoch: 4}))
		refused(t, "follow of a lower epoch", w.act(cluster.Action{Verb: cluster.Follow, Epoch: 4, From: "db2"}))
		refused(t, "promotion of a lower epoch", w.act(cluster.Action{Verb: cluster.Promote, Epoch: 4}))
		if ok, err := w.agent.Vouch(t.Context(), 4); ok || err != nil {
			t.Errorf("vouched for a lower epoch: %v %v", ok, err)
		}
		if ok, err := w.agent.Vouch(t.Context(), 5); !ok || err != nil {
			t.Errorf("vouch for the promised epoch: %v %v", ok, err)
		}
		if n := w.server.count("follow db2") + w.server.count("lead"); n != 0 {
			t.Errorf("%d things were done under a lower epoch", n)
		}
	})
}

// TestALostOathIsTakenFromTheState: who does not know what it promised promises, vouches and follows nothing before it has read the state.

func TestALostOathIsTakenFromTheState(t *testing.T) {
	for name, lose := range map[string]func(string) error{
		"gone":    os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary = 9, cluster.Serving, "db2" })
				w.end()
				if err := lose(filepath.Join(w.dir, "oath.json")); err != nil {
					t.Fatal(err)
				}
				w.set(func() { w.down = true })
				w.boot()
				refused(t, "a fence", w.act(cluster.Action{Verb: cluster.Fence, Epoch: 10}))
				refused(t, "a follow", w.act(cluster.Action{Verb: cluster.Follow, Epoch: 10, From: "db2"}))
				if _, err := w.agent.Vouch(t.Context(), 10); err == nil {
					t.Error("it vouched")
				}
				if f := w.probe(); f.Promised != 0 {
					t.Errorf("it told a promise: %+v", f)
				}
				w.set(func() { w.down = false })
				time.Sleep(2 * time.Second)
				if f := w.probe(); f.Promised != 9 {
					t.Errorf("after the state was read: %+v", f)
				}
				refused(t, "a fence of a lower epoch", w.act(cluster.Action{Verb: cluster.Fence, Epoch: 8}))
			})
		})
	}
}

func TestTheServerStopsWhenTheTenureIsOver(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		beat := w.state().Beat
		time.Sleep(time.Second)
		if got := w.state().Beat; got < beat+3 {
			t.Errorf("%d beats in a second", got-beat)
		}
		w.set(func() { w.down, w.mute = true, true })
		cut := time.Now()
		time.Sleep(10 * time.Second)
		if w.server.role() != cluster.Stopped {
			t.Fatal("it runs without tenure")
		}
		if after := w.server.leaves.Sub(cut); after > three.Lease+2*watching || after < three.Lease/2 {
			t.Errorf("stopped after %s", after)
		}
		if n := w.server.count("start standby"); n != 0 {
			t.Error("it was woken as a standby, though the state may have it as primary")
		}
		w.set(func() { w.down = false })
		time.Sleep(3 * time.Second)
		if w.server.role() != cluster.Primary {
			t.Error("it was not started when the tenure came back")
		}
	})
}

func TestTheOthersRenewTheTenure(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		w.set(func() { w.down = true })
		time.Sleep(20 * time.Second)
		if w.server.role() != cluster.Primary || w.server.count("stop") != 0 {
			t.Fatal("it stopped, though all others vouched")
		}
		w.set(func() { w.deny = true })
		time.Sleep(three.Lease + 2*watching)
		if w.server.role() != cluster.Stopped {
			t.Error("it runs, though the others know a newer epoch")
		}
	})
}

func TestAPromiseEndsTheTenure(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		if _, err := w.grant(life("p")); err != nil {
			t.Fatal(err)
		}
		refused(t, "a fence of the epoch that it leads", w.act(cluster.Action{Verb: cluster.Fence, Epoch: 7}))
		w.set(func() { w.down = true })
		if err := w.act(cluster.Action{Verb: cluster.Fence, Epoch: 8}); err != nil {
			t.Fatal(err)
		}
		if f := w.probe(); f.Promised != 8 || f.Role == cluster.Primary {
			t.Errorf("after the fence: %+v", f)
		}
		_, err := w.grant(life("p"))
		refused(t, "a route", err)
		w.set(func() { w.down = false })
		time.Sleep(5 * time.Second) // the state still says epoch 7
		_, err = w.grant(life("p"))
		refused(t, "a route, later", err)
		if w.server.role() == cluster.Primary {
			t.Error("it is primary again of an epoch below the promised one")
		}
	})
}

// TestATenureThatEndsDuringThePromotion leaves no primary.

func TestAnUpgradeOfTheAgentStopsNothing(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		w.end()
		time.Sleep(500 * time.Millisecond)
		w.boot()
		time.Sleep(5 * time.Second)
		if n := w.server.count("stop"); n != 0 || w.server.role() != cluster.Primary {
			t.Errorf("stopped %d times, %s", n, w.server.role())
		}
		if f := w.probe(); f.Epoch != 7 || !f.Counting.Is(quorum(3)) {
			t.Errorf("after the upgrade: %+v", f)
		}
		w.end()
		w.set(func() { w.down = true })
		w.boot()
		time.Sleep(5 * time.Second)
		if w.server.role() == cluster.Primary {
			t.Error("an agent that knows no state lets a primary run on")
		}
	})
}

// TestAStandbyThatSomebodyPromotesIsStopped, also where it once led.
func TestAStandbyThatSomebodyPromotesIsStopped(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary = 8, cluster.Serving, "db2" })
		if err := w.act(cluster.Action{Verb: cluster.Follow, Epoch: 8, From: "db2"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		stops := w.server.count("stop")
		if w.server.role() != cluster.Standby || stops != 1 {
			t.Fatalf("%s, stopped %d times", w.server.role(), stops)
		}
		w.server.change(func(s *Sight) { s.Role = cluster.Primary })
		time.Sleep(looking + 2*watching)
		if w.server.role() == cluster.Primary {
			t.Error("a second primary runs on")
		}
		time.Sleep(5 * time.Second)
		if w.server.role() != cluster.Standby {
			t.Errorf("it did not become a standby again, but %s", w.server.role())
		}
	})
}

func TestAPrimaryThatTheStateDoesNotKnowIsStopped(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.server.change(func(s *Sight) { s.Role = cluster.Primary })
		time.Sleep(5 * time.Second)
		if w.server.count("stop") != 0 {
			t.Fatal("stopped though there is no cluster yet")
		}
		w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary = 3, cluster.Serving, "db2" })
		time.Sleep(time.Second)
		if w.server.role() == cluster.Primary {
			t.Error("a second primary runs on")
		}
	})
}

// TestARouteServesAsSoonAsTheStateDoes: by what is told of the state, and where nothing is told, by what is read for who asks.

// TestALifeThatAsksNoMoreIsForgotten, or it would hold up each planned change; and is recorded again before it gets anything.

// TestALifeThatIsBeingForgottenGetsNoRoute: the beat that leaves it out may be swapped in at any moment.

// TestAProbeTellsAPromiseFromBeforeItLooked: else a log seen while it still grew would be taken for the end.

// TestAHungPrimaryIsStoppedInTheEnd: its agent speaks for it no more, so that it shows without proxies too.

// TestANewerEpochBreaksOff what runs for an older one.

// TestAServerThatDoesNotStartIsTriedEverMoreRarely, and started when it can be.
