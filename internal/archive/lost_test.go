package archive

import (
	"os"
	"testing"
	"time"
)

// TestLostSpoolWhileOnlyTipsStand: what the tips hold is kept and is no gap, whether the source can go on or not.
func TestLostSpoolWhileOnlyTipsStand(t *testing.T) {
	for _, strict := range []bool{false, true} {
		for repos := 1; repos <= 2; repos++ {
			inBubble(t, repos, func(t *testing.T, h *house) {
				d := h.start()
				h.work(10)
				if repos > 1 {
					h.die(1) // so that the two differ
					h.work(5)
				}
				d.shipped(0)
				d.stop()
				h.plans[repos-1].Clear()
				if err := os.RemoveAll(h.dir); err != nil {
					t.Fatal(err)
				}
				h.w.strict = strict
				d = h.start()
				time.Sleep(5 * time.Second)
				h.w.set(func() { h.w.strict = false })
				h.work(5)
				d.shipped()
				time.Sleep(time.Minute)
				d.stop()
				if h.saw(LogMissing) > 0 || h.saw(SpoolLost) > 0 {
					t.Errorf("events %+v", h.events)
				}
				for i := range h.stores {
					p := h.prove(i)
					p.all(t, h.w.count(), nil)
					for _, g := range p.history.Gaps {
						if !strict || g.Reason != "the log was trimmed" || len(p.history.Gaps) > 1 {
							t.Errorf("repository %d: gap %+v", i, g)
						}
					}
				}
			})
		}
	}
}
