package archive

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fullDisk is a disk that has no room while it says so.
type fullDisk struct{ full atomic.Bool }

func (d *fullDisk) sync(f *os.File) error {
	if d.full.Load() {
		return &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.ENOSPC}
	}
	return f.Sync()
}

// TestMomentOfFullDiskCostsNothing: commits wait at the source, people are told, and capture goes on by itself.
func TestMomentOfFullDiskCostsNothing(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		var disk fullDisk
		h.config.sync = disk.sync
		d := h.start()
		h.work(10)
		d.shipped()
		disk.full.Store(true)
		h.work(3)
		time.Sleep(30 * time.Second)
		st := d.Status()
		if !errors.Is(st.SourceError, syscall.ENOSPC) || !strings.Contains(st.SourceError.Error(), "commits wait at the source") || !st.Following {
			t.Errorf("%+v", st)
		}
		h.w.mu.Lock()
		connects, acked := h.w.connects, h.w.acked
		h.w.mu.Unlock()
		if connects != 1 || acked >= h.w.count() {
			t.Errorf("connected %d times, %d of %d commits acknowledged", connects, acked, h.w.count())
		}
		disk.full.Store(false)
		d.shipped()
		if st := d.Status(); st.SourceError != nil {
			t.Errorf("%+v", st)
		}
		d.stop()
		if h.w.connects != 1 || h.w.bases != 1 || h.saw(SpoolRoom) != 1 || h.saw(SourceDown) != 0 {
			t.Errorf("connected %d times, %d bases, events %+v", h.w.connects, h.w.bases, h.events)
		}
		for _, p := range h.proveAll() {
			if len(p.windows) != 1 {
				t.Errorf("windows %+v", p.windows)
			}
		}
	})
}

// TestLongFullDiskLetsTheSourceGo: after a bounded time the source's log is held back no longer; what it then drops is
// a recorded gap.
func TestLongFullDiskLetsTheSourceGo(t *testing.T) {
	for _, trim := range []bool{false, true} {
		inBubble(t, 2, func(t *testing.T, h *house) {
			var disk fullDisk
			h.config.sync = disk.sync
			d := h.start()
			h.work(10)
			d.shipped()
			before := h.w.count()
			disk.full.Store(true)
			h.work(3)
			time.Sleep(5 * time.Minute)
			st := d.Status()
			if st.Connected || !st.SpoolFull || st.SourceError == nil || !strings.Contains(st.SourceError.Error(), "capture has stopped") {
				t.Errorf("%+v", st)
			}
			if trim {
				h.w.trim()
			}
			lost := h.w.count()
			disk.full.Store(false)
			h.work(5)
			d.shipped()
			want := 1
			if trim {
				want = 2
			}
			d.until("bases", func(st Status) bool { return st.Repositories[0].Bases == want && st.Repositories[1].Bases == want })
			d.stop()
			for i := range h.stores {
				p := h.prove(i)
				p.all(t, h.w.count(), func(n int) bool { return trim && n > before && n <= lost+7*5 })
				if len(p.history.Gaps) != want-1 || len(p.windows) != want {
					t.Errorf("gaps %+v, windows %+v", p.history.Gaps, p.windows)
				}
			}
		})
	}
}
