package archive

import (
	"bytes"
	"os"
	"path/filepath"
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

func TestLostSpoolGoesOnFromTheRepositories(t *testing.T) {
	for _, strict := range []bool{false, true} {
		inBubble(t, 2, func(t *testing.T, h *house) {
			h.config.SegmentBytes = 3 << 10
			d := h.start()
			h.work(10)
			h.hang(1) // so that the two differ
			h.work(10)
			d.shipped(0)
			d.stop()
			h.heal(1)
			if err := os.RemoveAll(h.dir); err != nil {
				t.Fatal(err)
			}
			h.w.strict = strict
			d = h.start()
			time.Sleep(5 * time.Second)
			h.w.set(func() { h.w.strict = false })
			h.work(20)
			d.shipped()
			if strict {
				d.until("bases", func(st Status) bool { return st.Repositories[0].Bases == 2 && st.Repositories[1].Bases == 2 })
			}
			h.work(3)
			d.shipped()
			d.stop()
			if got := h.saw(SpoolLost); got != 0 { // there was no spool, so nothing of it was lost
				t.Errorf("%d events", got)
			}
			h.prove(0).all(t, h.w.count(), nil)
			p := h.prove(1)
			newest := p.windows[len(p.windows)-1]
			if int(newest.End.Seq) != h.w.count() {
				t.Errorf("windows %+v", p.windows)
			}
		})
	}
}

func TestDamagedSpoolIsSetAside(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		d := h.start()
		h.work(10)
		d.shipped()
		d.stop()
		names, err := filepath.Glob(filepath.Join(h.dir, "journal-*"))
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		name := names[0]
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 4
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		d = h.start()
		h.work(10)
		d.shipped()
		d.stop()
		h.proveAll()
		if h.saw(SpoolLost) == 0 {
			t.Error("nobody was told")
		}
		aside, err := filepath.Glob(filepath.Join(h.dir, "damaged-*", "journal-*"))
		if err != nil || len(aside) != 1 {
			t.Fatalf("set aside: %v, %v", aside, err)
		}
		if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, b) {
			t.Errorf("what was set aside is not what was there: %v", err)
		}
	})
}
