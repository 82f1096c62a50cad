package archive

import (
	"testing"
	"time"
)

func TestRestartsGoOn(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		h.config.SegmentBytes = 3 << 10
		for range 12 {
			d := h.start()
			h.work(6)
			d.stop()
			time.Sleep(time.Millisecond)
			h.w.commit(4, 30)
			time.Sleep(time.Minute)
		}
		d := h.start()
		d.shipped()
		d.stop()
		for _, p := range h.proveAll() {
			if len(p.windows) != 1 || h.w.bases != 1 {
				t.Errorf("windows %+v, %d bases", p.windows, h.w.bases)
			}
		}
	})
}

func TestStopSendsWhatIsThere(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		d := h.start()
		h.work(5)
		h.w.commit(5, 10)
		d.until("capture", func(st Status) bool { return int(st.Position.Seq) == h.w.count() })
		began := time.Now()
		d.stop()
		h.proveAll()
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %s to stop", took)
		}
		d = h.start()
		h.work(1)
		h.hang(1)
		h.w.commit(5, 10)
		time.Sleep(300 * time.Millisecond)
		began = time.Now()
		d.stop()
		if took := time.Since(began); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("it took %s to stop with a store that hangs", took)
		}
		h.heal(1)
		h.prove(0).all(t, h.w.count(), nil)
		d = h.start()
		d.shipped()
		d.stop()
		h.proveAll()
	})
}

func TestGapWhileNobodyWatched(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		d := h.start()
		h.work(10)
		d.stop()
		seen := h.w.count()
		h.w.commit(50, 10)
		h.w.trim()
		h.die(1)
		d = h.start()
		time.Sleep(20 * time.Second)
		h.work(10)
		d.shipped(0)
		h.heal(1)
		d.shipped()
		d.until("bases", func(st Status) bool { return st.Repositories[0].Bases == 2 && st.Repositories[1].Bases == 2 })
		d.stop()
		for i := range h.stores {
			p := h.prove(i)
			p.all(t, h.w.count(), func(n int) bool { return n > seen && n <= seen+50 })
			if len(p.history.Gaps) != 1 || p.history.Gaps[0].Reason != "the log was trimmed" {
				t.Errorf("gaps %+v", p.history.Gaps)
			}
		}
	})
}

func TestNewRepositoryIsFilled(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		h.config.SegmentBytes = 2 << 10
		d := h.start()
		h.work(30)
		d.shipped()
		d.stop()
		h.addRepo()
		d = h.start()
		h.work(20)
		d.shipped()
		d.until("the copy", func(st Status) bool { return st.Repositories[1].Bases == 1 })
		h.work(20)
		d.shipped()
		d.stop()
		h.proveAll()
		if h.w.bases != 1 {
			t.Errorf("%d bases were taken", h.w.bases)
		}
	})
}

// TestNewRepositoryIsFilledWithAllThatIs: its window reaches back as far as that of the other one, and the source is not touched.
func TestNewRepositoryIsFilledWithAllThatIs(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		h.config.SegmentBytes = 2 << 10
		d := h.start()
		for range 3 {
			h.work(30)
			d.shipped()
			if _, err := d.Backup(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		h.work(10)
		d.shipped()
		d.stop()
		bases, held := h.w.bases, len(h.prove(0).history.Bases)
		h.addRepo()
		d = h.start()
		d.until("all bases", func(st Status) bool { return len(st.Repositories) == 2 && st.Repositories[1].Bases == held })
		h.work(5)
		d.shipped()
		d.stop()
		h.proveAll()
		old, anew := h.prove(0), h.prove(1)
		if h.w.bases != bases || len(anew.windows) != 1 || !anew.windows[0].Start.Equal(old.windows[0].Start) || len(anew.history.Bases) != len(old.history.Bases) {
			t.Errorf("%d bases were taken, %d before; windows %v, of %v", h.w.bases, bases, anew.windows, old.windows)
		}
	})
}
