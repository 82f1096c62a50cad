package agent

import (
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

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
