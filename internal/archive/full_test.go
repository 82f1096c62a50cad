package archive

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFullSpoolStopsCaptureAndLosesNothing(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		h.config.MaxSpool = 64 << 10
		d := h.start()
		h.work(10)
		d.shipped()
		h.die(1)
		for range 300 {
			h.w.commit(7, 50)
			time.Sleep(30 * time.Millisecond)
		}
		d.until("a full spool", func(st Status) bool { return st.SpoolFull })
		time.Sleep(10 * time.Second) // what is left is sealed now
		st := d.Status()
		if st.SpoolBytes > st.SpoolMaxBytes || st.Following {
			t.Errorf("%+v", st)
		}
		if onDisk := folderSize(t, h.dir); onDisk != st.SpoolBytes || st.SealedBytes == 0 || onDisk < 40<<10 {
			t.Errorf("%d bytes on disk: %+v", onDisk, st)
		}
		if here, gone := st.Repositories[0].LagBytes, st.Repositories[1].LagBytes; here != 0 || gone == 0 || gone >= st.SpoolBytes {
			t.Errorf("%d and %d bytes wait for the repositories", here, gone)
		}
		var alarms []int
		for _, e := range h.events {
			if e.Kind == SpoolAlarm {
				alarms = append(alarms, e.Percent)
			}
		}
		if len(alarms) != 3 || alarms[0] != 50 || alarms[1] != 80 || alarms[2] != 100 {
			t.Errorf("alarms %v", alarms)
		}
		h.heal(1)
		d.shipped()
		d.stop()
		for _, p := range h.proveAll() {
			if len(p.history.Gaps) != 0 {
				t.Errorf("gaps %+v", p.history.Gaps)
			}
		}
		if h.saw(SpoolRoom) == 0 {
			t.Error("capture did not say that it goes on")
		}
	})
}

// folderSize is how many bytes lie in a spool that stands still.
func folderSize(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, metaExt) {
			return err
		}
		info, err := d.Info()
		bytes += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestWhatTheSourceDidNotKeepIsAGap(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		h.config.MaxSpool = 32 << 10
		d := h.start()
		h.work(10)
		d.shipped()
		h.die(1)
		for range 150 {
			h.w.commit(7, 50)
			time.Sleep(30 * time.Millisecond)
		}
		d.until("a full spool", func(st Status) bool { return st.SpoolFull })
		before := int(d.Status().Position.Seq)
		h.w.commit(100, 10)
		h.w.trim()
		lost := h.w.count()
		h.heal(1)
		d.until("the gap", func(Status) bool { return h.saw(GapFound) == 1 })
		h.work(20)
		d.shipped()
		d.until("bases", func(st Status) bool { return st.Repositories[0].Bases == 2 && st.Repositories[1].Bases == 2 })
		d.stop()
		for i := range h.stores {
			p := h.prove(i)
			p.all(t, h.w.count(), func(n int) bool {
				return n > before && n < lost+7*20 && !p.proved[n] && n <= int(p.history.Gaps[0].To.Seq)
			})
			if len(p.history.Gaps) != 1 || len(p.windows) != 2 || int(p.history.Gaps[0].From.Seq) != before {
				t.Errorf("gaps %+v, windows %+v, stood at %d", p.history.Gaps, p.windows, before)
			}
		}
	})
}
