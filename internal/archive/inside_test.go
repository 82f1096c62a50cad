package archive

import (
	"testing"
	"time"
)

// TestCommitsInParts: no tip and no segment ends inside a commit that is shipped in parts, whenever they are cut, and also when
// the daemon ends in the middle of one.
func TestCommitsInParts(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		h.w.parts = 3
		h.config.SegmentBytes = 2 << 10
		for range 3 {
			d := h.start()
			for range 3 {
				h.w.commit(2, 900)
				time.Sleep(730 * time.Millisecond)
			}
			h.w.commit(3, 900)
			time.Sleep(170 * time.Millisecond)
			d.stop()
			time.Sleep(20 * time.Second)
		}
		d := h.start()
		d.shipped()
		d.stop()
		for _, p := range h.proveAll() {
			if len(p.windows) != 1 || len(p.history.Gaps) != 0 {
				t.Errorf("windows %+v, gaps %+v", p.windows, p.history.Gaps)
			}
			for _, s := range p.history.Segments {
				if s.From.Equal(s.To) {
					t.Errorf("%s holds no commit", s.Name)
				}
			}
		}
	})
}

// TestCommitLargerThanTheSpool: it is taken all the same, for nothing of it can leave before its end.
func TestCommitLargerThanTheSpool(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		h.w.parts = 8
		h.config.MaxSpool, h.config.SegmentBytes = 16<<10, 4<<10
		d := h.start()
		h.w.commit(2, 50<<10)
		h.w.commit(5, 100)
		d.shipped()
		d.stop()
		h.proveAll()
	})
}
