package agent

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
)

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
		if r, err := w.agent.Probe(t.Context()); err != nil || !r.Unguarded {
			t.Errorf("keepers hear %+v, %v", r, err)
		}
		alive = true
		if r, err := w.agent.Probe(t.Context()); err != nil || r.Unguarded {
			t.Errorf("with its guard keepers hear %+v, %v", r, err)
		}
		if err := w.act(promote); err != nil || w.server.count("lead") != 1 {
			t.Errorf("with its guard: %v", err)
		}
	})
}

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

// TestAStandbyAsksAtOnceWhenItsPrimaryServes: it may have found nobody there a moment before, and commits wait for it.
func TestAStandbyAsksAtOnceWhenItsPrimaryServes(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		hurried := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			if n := w.server.count("hurry"); n != want {
				t.Errorf("%s it was hurried %d times, want %d", when, n, want)
			}
		}
		w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary = 7, cluster.Promoting, "db2" })
		hurried("before anybody serves", 0)
		w.put(func(s *cluster.State) { s.Phase = cluster.Serving })
		hurried("when its primary serves", 1)
		w.put(func(*cluster.State) {})
		hurried("while that goes on", 1)
		w.put(func(s *cluster.State) { s.Epoch, s.Primary = 8, "db1" })
		hurried("when it is the one", 1)
	})
}

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

func TestAServerThatDoesNotStartIsTriedEverMoreRarely(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		if err := w.act(cluster.Action{Verb: cluster.Fence, Epoch: 5}); err != nil {
			t.Fatal(err)
		}
		w.server.mu.Lock()
		w.server.broken, w.server.s.Role = true, cluster.Stopped
		w.server.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if n := w.server.count("start standby"); n < 10 || n > 20 {
			t.Errorf("tried %d times in ten minutes", n)
		}
		w.server.mu.Lock()
		w.server.broken = false
		w.server.mu.Unlock()
		time.Sleep(maxWait + time.Second)
		if w.server.role() != cluster.Standby {
			t.Error("it was not started")
		}
	})
}

// TestWhoeverStartsAFencedServerStartsAStandbyOfNobody: its service or a person may, at any time, and what it acknowledged then would break the promise.
func TestWhoeverStartsAFencedServerStartsAStandbyOfNobody(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"one that does not run": func(w *world) { w.server.change(func(s *Sight) { s.Role = cluster.Stopped }) },
		"a primary": func(w *world) {
			w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary, s.Timeline = 4, cluster.Promoting, "db1", 2 })
			if err := w.act(cluster.Action{Verb: cluster.Promote, Epoch: 4, Upto: history.At(1, 100), Timeline: 2, Quorum: quorum(3)}); err != nil {
				w.t.Fatal(err)
			}
			w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary = 5, cluster.Fencing, "" })
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				prepare(w)
				retired, promised := 0, uint64(0)
				w.server.retires = func() {
					k, _, err := load(w.dir + "/oath.json")
					if err != nil {
						t.Error(err)
					}
					retired, promised = retired+1, max(promised, k.Promised)
				}
				if err := w.act(cluster.Action{Verb: cluster.Fence, Epoch: 5}); err != nil {
					t.Fatal(err)
				}
				if f := w.probe(); f.Promised != 5 || retired != 1 || promised == 5 {
					t.Errorf("it promised %d, and its server was retired %d times, with %d promised", f.Promised, retired, promised)
				}
			})
		})
	}
}

// TestAStandbyIsToldOfEachEpoch though it follows as it should: an agent that ended may have written whom else to follow, and not have told it.
func TestAStandbyIsToldOfEachEpoch(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary = 5, cluster.Serving, "db2" })
		w.server.change(func(s *Sight) { s.Role, s.Following, s.Streaming = cluster.Standby, "db2", true })
		for _, epoch := range []uint64{5, 5, 6, 6} {
			if err := w.act(cluster.Action{Verb: cluster.Follow, Epoch: epoch, From: "db2"}); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.server.count("follow db2"); n != 2 {
			t.Errorf("it was told %d times of two epochs", n)
		}
	})
}

func TestAnAgentThatEndedBeginsNothing(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.end()
		if err := w.act(cluster.Action{Verb: cluster.Fence, Epoch: 5}); err == nil || w.server.count("detach") != 0 {
			t.Errorf("fenced after its end: %v", err)
		}
	})
}

// TestAPromotionThatWasBegunIsEndedByAStop: a server that was told to become primary and is still seen as a standby may become one later,
// whatever its agent promised since. An agent that was started anew knows it too.
func TestAPromotionThatWasBegunIsEndedByAStop(t *testing.T) {
	for name, order := range map[string]cluster.Action{
		"fence": {Verb: cluster.Fence, Epoch: 8}, "follow": {Verb: cluster.Follow, Epoch: 8, From: "db2"},
	} {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, new life %t", name, again), func(t *testing.T) {
				in(t, func(t *testing.T, w *world) {
					w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary, s.Timeline = 7, cluster.Promoting, "db1", 2 })
					w.server.unheard = true
					if err := w.act(cluster.Action{Verb: cluster.Promote, Epoch: 7, Upto: history.At(1, 100), Timeline: 2, Quorum: quorum(3)}); err == nil {
						t.Fatal("the promotion did not fail")
					}
					time.Sleep(time.Second) // it was seen as a standby since
					if again {
						w.end()
						w.boot()
					}
					before := w.server.count("stop")
					w.put(func(s *cluster.State) { s.Epoch, s.Phase, s.Primary = 8, cluster.Fencing, "" })
					if err := w.act(order); err != nil {
						t.Fatal(err)
					}
					if w.server.count("stop") == before {
						t.Error("it promised beside a promotion that may still come true")
					}
				})
			})
		}
	}
}
