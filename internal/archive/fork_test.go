package archive

import (
	"os"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// TestForksAreFollowed lets the source go on on other timelines, at its end and before it, with a restart between and
// a repository that is away: each line comes back, without a gap and without a new base.
func TestForksAreFollowed(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		h.config.SegmentBytes = 4 << 10
		d := h.start()
		h.work(20)
		d.shipped()
		h.w.fork(h.w.count())
		h.work(10)
		d.shipped()
		d.stop()

		h.w.fork(h.w.count() - 5) // while nobody watches, and behind what was shipped
		d = h.start()
		h.work(10)
		d.until("the third timeline", func(st Status) bool { return st.Position.Timeline == 3 && int(st.Position.Seq) == h.w.count() })
		h.hang(1)
		h.w.fork(h.w.count())
		h.work(5)
		d.until("the fourth timeline", func(st Status) bool { return st.Repositories[0].Position.Timeline == 4 })
		h.heal(1)
		d.until("the other repository", func(st Status) bool {
			p := st.Repositories[1].Position
			return p.Timeline == 4 && int(p.Seq) == h.w.count()
		})
		d.stop()

		for i := range h.stores {
			p := h.prove(i)
			p.all(t, h.w.count(), nil)
			if got := p.history.Forks; len(got) != 3 || got[1].Child != 3 {
				t.Errorf("repository %d knows the forks %v", i, got)
			}
			if len(p.history.Gaps) != 0 || h.w.bases != 1 {
				t.Errorf("repository %d has the gaps %v, %d bases were taken", i, p.history.Gaps, h.w.bases)
			}
			main, left := 0, 0
			for _, w := range p.windows {
				if w.Abandoned {
					left++
				} else {
					main++
				}
			}
			if main != 1 || left != 1 {
				t.Errorf("repository %d has the windows %+v, want one, and one that was left", i, p.windows)
			}
		}
	})
}

// TestAForkAtRest lets the source go on on other timelines and then do nothing for a while, in which all is released that may be
// and the daemon is started anew: what was told of each timeline before any log of it came is there.
func TestAForkAtRest(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Millisecond, 100 * time.Millisecond, 3 * time.Second, time.Hour} {
		inBubble(t, 2, func(t *testing.T, h *house) {
			h.config.SegmentBytes = 4 << 10
			d := h.start()
			h.work(20)
			for range 3 {
				d.shipped()
				h.w.fork(h.w.count())
				time.Sleep(pause)
				d.stop()
				d = h.start()
				time.Sleep(pause)
				h.work(30)
			}
			d.shipped()
			d.stop()
			for i := range h.stores {
				p := h.prove(i)
				p.all(t, h.w.count(), nil)
				if len(p.history.Forks) != 3 || len(p.history.Gaps) != 0 {
					t.Errorf("%s: repository %d has forks %v and gaps %v", pause, i, p.history.Forks, p.history.Gaps)
				}
			}
		})
	}
}

// TestForkWithoutSpool loses the spool behind a fork that the repository knows: nothing is missing between the lines.
func TestForkWithoutSpool(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		d := h.start()
		h.work(10)
		h.w.fork(h.w.count())
		h.work(2)
		d.shipped()
		d.until("the second timeline", func(st Status) bool { return st.Repositories[0].Position.Timeline == 2 })
		time.Sleep(time.Second)
		d.stop()
		if err := os.RemoveAll(h.dir); err != nil {
			t.Fatal(err)
		}
		d = h.start()
		h.work(3)
		d.shipped()
		d.stop()
		p := h.prove(0)
		p.all(t, h.w.count(), nil)
		if len(p.history.Gaps) != 0 || h.w.bases != 1 || len(p.history.Forks) != 1 || !p.history.Forks[0].At.Equal(history.At(1, h.w.forks[0].At.Seq)) {
			t.Errorf("gaps %v, forks %v, %d bases", p.history.Gaps, p.history.Forks, h.w.bases)
		}
	})
}
