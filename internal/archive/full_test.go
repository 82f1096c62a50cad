package archive

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
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

// TestAFullSpoolHoldsTheSourceOnlySoFar lets a server keep its log for us while nobody takes it: it is watched, told at
// half and at four fifths of the bound, and let go beyond it; then there is a gap and a new base.
func TestAFullSpoolHoldsTheSourceOnlySoFar(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		h.config.MaxSpool, h.config.MaxHeld = 64<<10, 100<<10
		h.w.set(func() { h.w.slot = true })
		d := h.start()
		h.work(10)
		d.shipped()
		h.die(0)
		for !d.Status().SpoolFull {
			h.w.commit(7, 50)
			time.Sleep(30 * time.Millisecond)
		}
		var seen int64
		for dropped := 0; dropped == 0; h.w.set(func() { dropped = h.w.dropped }) {
			h.w.commit(20, 1000)
			time.Sleep(time.Minute)
			seen = max(seen, d.Status().Source.HeldBytes)
		}
		h.w.set(func() { h.w.blind = true }) // what was let go is not told again, though the source can't say that it is gone
		time.Sleep(5 * time.Minute)
		h.w.set(func() {
			if h.w.blind = false; h.w.dropped != 1 {
				t.Errorf("the source was told %d times to let go", h.w.dropped)
			}
		})
		if seen < 70<<10 || seen > 100<<10 {
			t.Errorf("Status tells of %d bytes at most", seen)
		}
		var alarms []int
		for _, e := range h.events {
			if e.Kind == HeldAlarm {
				alarms = append(alarms, e.Percent)
			}
		}
		if !slices.Equal(alarms, []int{50, 80, 100}) {
			t.Errorf("alarms %v", alarms)
		}
		h.healsWithAGap(t, d)
	})
}

// TestAGapIsToldUntilABaseStandsBehindIt: while the base is taken that heals a gap nothing is followed, and what can be recovered grows older.
func TestAGapIsToldUntilABaseStandsBehindIt(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		d := h.start()
		h.work(10)
		d.shipped()
		d.until("a base", func(st Status) bool { return st.Repositories[0].Bases == 1 })
		h.w.set(func() { h.w.down = errors.New("away") })
		d.until("the loss", func(st Status) bool { return st.SourceError != nil })
		h.w.commit(5, 10)
		h.w.trim()
		h.w.set(func() { h.w.down, h.w.slowBase = nil, time.Hour })
		d.until("the gap", func(st Status) bool { return st.Gap != nil })
		time.Sleep(30 * time.Minute)
		if st := d.Status(); st.Gap == nil || st.Following || st.Repositories[0].Lag < 30*time.Minute || st.Repositories[0].Bases != 1 {
			t.Errorf("in the middle of the base: %+v", st)
		}
		d.until("the new base", func(st Status) bool { return st.Repositories[0].Bases == 2 })
		if st := d.Status(); st.Gap != nil {
			t.Errorf("with a new base: %+v", st)
		}
		h.work(3)
		d.shipped()
		d.until("no lag", func(st Status) bool { return st.Repositories[0].Lag == 0 })
		d.stop()
		if p := h.prove(0); len(p.history.Gaps) != 1 || len(p.windows) != 2 {
			t.Errorf("gaps %+v, windows %+v", p.history.Gaps, p.windows)
		}
	})
}

// TestWhatWaitsForARepositoryHoldsTheSourceOnlySoFar: with ack: repository a shipment waits for the store inside of the session, and so does
// the slot; a base that begins a line keeps it from being moved on, too.
func TestWhatWaitsForARepositoryHoldsTheSourceOnlySoFar(t *testing.T) {
	for name, stuck := range map[string]func(h *house, d *daemon){
		"dead store":    func(h *house, _ *daemon) { h.die(0) },
		"hanging store": func(h *house, _ *daemon) { h.hang(0) },
		"base": func(h *house, d *daemon) {
			h.w.set(func() { h.w.down = errors.New("away") })
			d.until("the loss", func(st Status) bool { return st.SourceError != nil })
			h.w.commit(5, 10)
			h.w.trim()
			h.w.set(func() { h.w.down, h.w.slowBase = nil, 1000*time.Hour })
			d.until("the gap", func(st Status) bool { return st.Gap != nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(t *testing.T, h *house) {
				h.config.Ack, h.config.MaxHeld = AckRepository, 100<<10
				h.w.set(func() { h.w.slot = true })
				d := h.start()
				h.work(10)
				d.shipped()
				stuck(h, d)
				var seen int64
				for dropped := 0; dropped == 0; h.w.set(func() { dropped = h.w.dropped }) {
					h.w.commit(20, 500)
					time.Sleep(time.Minute)
					seen = max(seen, d.Status().Source.HeldBytes)
				}
				if open := h.w.open; open > 0 {
					t.Errorf("the slot was dropped with %d sessions", open)
				}
				if seen < 70<<10 || seen > 130<<10 {
					t.Errorf("Status tells of %d bytes at most", seen)
				}
				if n := h.saw(HeldAlarm); n != 3 {
					t.Errorf("%d alarms", n)
				}
				h.w.set(func() { h.w.slowBase, h.w.slot = 0, true })
				h.healsWithAGap(t, d)
			})
		})
	}
}

// healsWithAGap has the repository work again, and wants a new base and the gap before it.
func (h *house) healsWithAGap(t *testing.T, d *daemon) {
	t.Helper()
	h.heal(0)
	d.until("a new base", func(st Status) bool { return st.Repositories[0].Bases == 2 })
	h.work(3)
	d.shipped()
	d.stop()
	if p := h.prove(0); len(p.history.Gaps) != 1 || len(p.windows) != 2 {
		t.Errorf("gaps %+v, windows %+v", p.history.Gaps, p.windows)
	}
}
