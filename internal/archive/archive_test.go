package archive

import (
	"testing"
	"time"
)

// work lets the application commit for a while.
func (h *house) work(rounds int) {
	for range rounds {
		h.w.commit(7, 50)
		time.Sleep(130 * time.Millisecond)
	}
}

// proveAll proves that every repository brings back every commit since the first base.
func (h *house) proveAll() []proof {
	h.t.Helper()
	var all []proof
	for i := range h.stores {
		p := h.prove(i)
		p.all(h.t, h.w.count(), nil)
		all = append(all, p)
	}
	return all
}

func TestEveryCommitComesBack(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		h.config.SegmentBytes = 4 << 10
		h.w.commit(3, 100)
		d := h.start()
		h.work(60)
		d.shipped()
		st := d.Status()
		for _, r := range st.Repositories {
			if r.Segments < 3 || r.Tips == 0 || r.Tips > 40 || r.Bases != 1 || r.Lag != 0 || r.LagBytes != 0 || r.Error != nil {
				t.Errorf("%+v", r)
			}
			if r.Durable.Commits < 400 || r.Durable.P99 > time.Second || r.Durable.P50 == 0 {
				t.Errorf("lag %+v", r.Durable)
			}
		}
		d.stop()
		for _, p := range h.proveAll() {
			if len(p.windows) != 1 || len(p.history.Gaps) != 0 {
				t.Errorf("windows %+v, gaps %+v", p.windows, p.history.Gaps)
			}
		}
		if h.w.bases != 1 {
			t.Errorf("%d bases were taken", h.w.bases)
		}
	})
}

func TestOldLogIsCut(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		d := h.start()
		for range 200 {
			h.w.commit(1, 10)
			time.Sleep(time.Minute)
		}
		d.shipped()
		st := d.Status()
		if r := st.Repositories[0]; r.Segments != 3 {
			t.Errorf("%+v", r)
		}
		d.stop()
		h.proveAll()
	})
}
