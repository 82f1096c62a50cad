package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/peer"
	"github.com/backstaydb/backstay/internal/route"
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

func TestNoPromotionWithoutTenure(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		promote := cluster.Action{Verb: cluster.Promote, Epoch: 7, Upto: history.At(1, 100), Timeline: 2, Quorum: quorum(3)}
		w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary = 7, cluster.Promoting, "db2" })
		refused(t, "of another's epoch", w.act(promote))
		w.put(func(s *cluster.State) { s.Primary = "db1" })
		w.set(func() { w.down = true })
		time.Sleep(time.Second)
		if err := w.act(promote); err != nil {
			refused(t, "without coordination", err)
		}
		time.Sleep(time.Second)
		w.set(func() { w.down = false })
		time.Sleep(time.Second)
		if w.server.count("lead") != 0 {
			t.Fatal("promoted without tenure")
		}
		promote.Upto = history.At(1, 101)
		refused(t, "with less than it was appointed with", w.act(promote))
		promote.Upto = history.At(1, 100)
		if err := w.act(promote); err != nil || w.server.count("lead") != 1 {
			t.Errorf("with tenure: %v", err)
		}
		if err := w.act(promote); err != nil || w.server.count("lead") != 1 {
			t.Errorf("again: %v", err)
		}
	})
}

func TestNoPromotionWithoutTheGuardThatCounts(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary = 7, cluster.Promoting, "db1" })
		alive := false
		w.agent.c.Cluster.Peers = append([]cluster.Peer{{Name: "db1", Guard: true}}, three.Peers[1:]...)
		w.agent.c.Guarded = func() bool { return alive }
		promote := cluster.Action{Verb: cluster.Promote, Epoch: 7, Upto: history.At(1, 100), Timeline: 2, Quorum: quorum(3)}
		refused(t, "without its guard", w.act(promote))
		alive = true
		if err := w.act(promote); err != nil || w.server.count("lead") != 1 {
			t.Errorf("with its guard: %v", err)
		}
	})
}

// TestATenureThatEndsDuringThePromotion leaves no primary.
func TestATenureThatEndsDuringThePromotion(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary = 7, cluster.Promoting, "db1" })
		w.server.slow, w.server.stubborn = 5*time.Second, true
		promote := cluster.Action{Verb: cluster.Promote, Epoch: 7, Upto: history.At(1, 100), Timeline: 2, Quorum: quorum(3)}
		if err := w.act(promote); err != nil {
			t.Fatal(err)
		}
		w.set(func() { w.down, w.mute = true, true })
		time.Sleep(20 * time.Second)
		if w.server.role() == cluster.Primary || w.server.count("lead") != 0 {
			t.Error("it became primary after its tenure")
		}
	})
}

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

func TestAPrimaryIsAdoptedAsItRuns(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.server.change(func(s *Sight) { s.Role = cluster.Primary })
		w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary, s.Timeline = 1, cluster.Promoting, "db1", 1 })
		q := quorum(1)
		q.Epoch = 1
		if err := w.act(cluster.Action{Verb: cluster.Promote, Epoch: 1, Timeline: 1, Quorum: q}); err != nil {
			t.Fatal(err)
		}
		if f := w.probe(); f.Epoch != 1 || !f.Counting.Is(q) || w.server.count("stop")+w.server.count("detach") != 0 {
			t.Errorf("adopted: %+v, %v", f, w.server.done)
		}
	})
}

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

// TestALifeThatAsksNoMoreIsForgotten, or it would hold up each planned change; and is recorded again before it gets anything.
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

// TestALifeThatIsBeingForgottenGetsNoRoute: the beat that leaves it out may be swapped in at any moment.
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

// TestAProbeTellsAPromiseFromBeforeItLooked: else a log seen while it still grew would be taken for the end.
func TestAProbeTellsAPromiseFromBeforeItLooked(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		time.Sleep(time.Second)
		w.server.mu.Lock()
		w.server.look = func() {
			w.server.mu.Lock()
			w.server.look = nil
			w.server.mu.Unlock()
			if err := w.act(cluster.Action{Verb: cluster.Fence, Epoch: 6}); err != nil {
				t.Error(err)
			}
		}
		w.server.mu.Unlock()
		if f := w.probe(); f.Promised == 6 {
			t.Error("it told a promise that came after what it saw")
		}
		if f := w.probe(); f.Promised != 6 {
			t.Errorf("promised %d", f.Promised)
		}
	})
}

func TestADiskThatHangsHasNoWord(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		w.server.change(func(s *Sight) { s.Stalled = time.Second })
		time.Sleep(time.Second)
		beat := w.state().Beat
		refused(t, "a promise", w.act(cluster.Action{Verb: cluster.Fence, Epoch: 8}))
		time.Sleep(3 * time.Second)
		if got := w.state().Beat; got != beat {
			t.Errorf("%d beats with a disk that hangs", got-beat)
		}
		if f := w.probe(); f.Stalled == cluster.Never {
			t.Error("it does not tell")
		}
	})
}

func TestAHungServerIsSilent(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		w.server.mu.Lock()
		w.server.hung = true
		w.server.mu.Unlock()
		if _, err := w.agent.Probe(t.Context()); err == nil {
			t.Error("a probe of a hung server was answered")
		}
		if err := w.act(cluster.Action{Verb: cluster.Fence, Epoch: 8}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if f := w.probe(); f.Promised != 8 || w.server.count("stop") == 0 {
			t.Errorf("fenced: %+v", f)
		}
	})
}

// TestAHungPrimaryIsStoppedInTheEnd: its agent speaks for it no more, so that it shows without proxies too.
func TestAHungPrimaryIsStoppedInTheEnd(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		w.server.mu.Lock()
		w.server.hung = true
		w.server.mu.Unlock()
		time.Sleep(hung / 2)
		if w.server.count("stop") != 0 {
			t.Fatal("a server that is slow was stopped")
		}
		time.Sleep(hung + three.Lease)
		if w.server.count("stop") != 1 || w.server.role() != cluster.Primary {
			t.Errorf("stopped %d times, then %s", w.server.count("stop"), w.server.role())
		}
	})
}

func TestAFrozenDiskIsToldThoughTheServerHangs(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		w.server.mu.Lock()
		w.server.hung, w.server.s.Stalled = true, time.Second
		w.server.mu.Unlock()
		f := w.probe()
		if f.Stalled == cluster.Never || f.Promised != 0 {
			t.Errorf("told %+v", f)
		}
		time.Sleep(2 * time.Second)
		beat := w.state().Beat
		time.Sleep(time.Second)
		if w.state().Beat != beat {
			t.Error("it beats though its disk takes nothing")
		}
	})
}

func TestQuorumsAreCountedInOrder(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.serve()
		count := func(step uint64) error {
			return w.act(cluster.Action{Verb: cluster.Count, Epoch: 7, Quorum: quorum(step)})
		}
		if err := count(5); err != nil {
			t.Fatal(err)
		}
		if f := w.probe(); !f.Counting.Is(quorum(5)) || f.Switched.IsZero() {
			t.Errorf("counting %+v", f.Counting)
		}
		n := w.server.count("count")
		if err := count(4); err != nil || w.server.count("count") != n {
			t.Errorf("a late command: %v, told %d times", err, w.server.count("count"))
		}
		w.server.slow = time.Second
		if err := count(6); err != nil {
			t.Fatal(err)
		}
		if f := w.probe(); f.Counting.Step != 0 {
			t.Errorf("it counts %+v for certain, and the server was not told yet", f.Counting)
		}
		time.Sleep(2 * time.Second)
		if f := w.probe(); !f.Counting.Is(quorum(6)) {
			t.Errorf("counting %+v", f.Counting)
		}
		refused(t, "a count of another epoch", w.act(cluster.Action{Verb: cluster.Count, Epoch: 8, Quorum: quorum(9)}))
	})
}

func TestAPartedLogIsBroughtBackOnTheWordOfTheState(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.server.change(func(s *Sight) { s.Parted = true })
		w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary, s.Timeline = 8, cluster.Serving, "db2", 2 })
		time.Sleep(5 * time.Second)
		if w.server.count("rejoin db2") != 0 {
			t.Fatal("log was discarded before the epoch was promised")
		}
		if err := w.act(cluster.Action{Verb: cluster.Follow, Epoch: 8, From: "db2"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if w.server.count("rejoin db2") != 1 {
			t.Fatalf("done: %v", w.server.done)
		}
		if f := w.probe(); !f.Blank || f.Following != "db2" {
			t.Errorf("before its log is whole: %+v", f)
		}
		w.end()
		w.boot()
		if f := w.probe(); !f.Blank {
			t.Error("a restart made the log whole")
		}
		w.server.change(func(s *Sight) { s.Received, s.Streaming = history.At(2, 500), true })
		time.Sleep(time.Second)
		if f := w.probe(); f.Blank {
			t.Error("the log is whole")
		}
	})
}

func TestACandidateFetchesWhatItLacks(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.server.mu.Lock()
		w.server.streams = history.At(1, 150)
		w.server.mu.Unlock()
		fill := cluster.Action{Verb: cluster.Fill, Epoch: 8, From: "db3", Upto: history.At(1, 150)}
		refused(t, "before the promise", w.act(fill))
		if err := w.act(cluster.Action{Verb: cluster.Fence, Epoch: 8}); err != nil {
			t.Fatal(err)
		}
		if err := w.act(fill); err != nil {
			t.Fatal(err)
		}
		if f := w.probe(); !f.Received.Equal(history.At(1, 150)) || f.Following != "" {
			t.Errorf("filled: %+v", f)
		}
	})
}

// TestANewerEpochBreaksOff what runs for an older one.
func TestANewerEpochBreaksOff(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary = 7, cluster.Promoting, "db1" })
		w.server.slow = time.Hour
		if err := w.act(cluster.Action{Verb: cluster.Promote, Epoch: 7, Upto: history.At(1, 100), Timeline: 2, Quorum: quorum(3)}); err != nil {
			t.Fatal(err)
		}
		refused(t, "another command of the same epoch", w.act(cluster.Action{Verb: cluster.Follow, Epoch: 7, From: "db2"}))
		if err := w.act(cluster.Action{Verb: cluster.Fence, Epoch: 8}); err != nil {
			t.Fatal(err)
		}
		if f := w.probe(); f.Promised != 8 || w.server.count("lead") != 0 {
			t.Errorf("after the newer epoch: %+v", f)
		}
	})
}
