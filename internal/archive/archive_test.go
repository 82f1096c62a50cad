package archive

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/store/fault"
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

func (h *house) die(i int)  { h.plans[i].Add(fault.Rule{Times: fault.Always, Effect: fault.Fail(nil)}) }
func (h *house) hang(i int) { h.plans[i].Add(fault.Rule{Times: fault.Always, Effect: fault.Hang()}) }
func (h *house) heal(i int) { h.plans[i].Clear() }

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

func TestDeadStoreStopsNobody(t *testing.T) {
	for name, break_ := range map[string]func(h *house){
		"fails": func(h *house) { h.die(1) },
		"hangs": func(h *house) { h.hang(1) },
		"slow": func(h *house) {
			h.plans[1].Add(fault.Rule{Times: fault.Always, Effect: fault.Slow(7 * time.Second)})
		},
	} {
		for _, when := range []string{"at start", "later"} {
			t.Run(name+" "+when, func(t *testing.T) {
				inBubble(t, 2, func(t *testing.T, h *house) {
					h.config.SegmentBytes = 4 << 10
					if when == "at start" {
						break_(h)
					}
					d := h.start()
					if when == "later" {
						h.work(20)
						break_(h)
					}
					time.Sleep(15 * time.Second) // the other one has its chance to be opened first
					h.work(60)
					d.shipped(0)
					if st := d.Status(); name != "slow" && (name == "fails" && st.Repositories[1].Error == nil || st.Repositories[1].Lag < 5*time.Second || st.Repositories[1].LagBytes == 0) {
						t.Errorf("%+v", st.Repositories[1])
					}
					h.heal(1)
					d.shipped()
					d.until("the copy of the base", func(st Status) bool { return st.Repositories[1].Bases == 1 })
					h.work(5)
					d.shipped()
					d.stop()
					h.proveAll()
					if name != "slow" && (h.saw(RepositoryDown) != 1 || h.saw(RepositoryUp) != 1) {
						t.Errorf("events %+v", h.events)
					}
					if h.w.bases != 1 || h.saw(GapFound) != 0 {
						t.Errorf("%d bases, events %+v", h.w.bases, h.events)
					}
				})
			})
		}
	}
}

func TestEveryCallMayFailOnce(t *testing.T) {
	for _, effect := range []fault.Effect{fault.Fail(nil), fault.FailAfter(nil), fault.Cut(10)} {
		for nth := 1; ; nth += 1 + nth/12 {
			fired := 0
			inBubble(t, 2, func(t *testing.T, h *house) {
				h.config.SegmentBytes = 1 << 10
				h.plans[0].Add(fault.Rule{Nth: nth, Times: 2, Effect: effect})
				d := h.start()
				h.work(12)
				d.shipped()
				fired = h.plans[0].Fired()
				h.heal(0)
				d.until("bases", func(st Status) bool { return st.Repositories[0].Bases > 0 && st.Repositories[1].Bases > 0 })
				h.work(2)
				d.shipped()
				d.stop()
				h.proveAll()
			})
			if t.Failed() || fired == 0 {
				break
			}
		}
	}
}

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

func TestBackup(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		d := h.start()
		h.work(5)
		h.w.set(func() { h.w.slowBase, h.w.spread = 10*time.Second, 20 })
		type result struct {
			base history.Base
			err  error
		}
		results := make(chan result)
		for range 3 {
			go func() {
				b, err := d.Backup(context.Background())
				results <- result{b, err}
			}()
		}
		synctest.Wait()
		h.work(5)
		first := <-results
		for range 2 {
			if r := <-results; r.base.ID != first.base.ID || r.err != nil {
				t.Errorf("%+v, %v", r.base, r.err)
			}
		}
		if first.err != nil || first.base.Start.Equal(first.base.Stop) || h.w.bases != 2 {
			t.Errorf("%+v, %v; %d bases", first.base, first.err, h.w.bases)
		}
		h.w.set(func() { h.w.refused = 1 })
		if _, err := d.Backup(context.Background()); err == nil || !strings.Contains(err.Error(), "refuses") {
			t.Errorf("err = %v", err)
		}
		d.until("the copy", func(st Status) bool { return st.Repositories[1].Bases == 2 })
		d.shipped()
		d.stop()
		if _, err := d.Backup(context.Background()); err == nil {
			t.Error("a backup after the end")
		}
		h.proveAll()
	})
}

func TestBaseGoesToWhoeverAcceptsIt(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		h.plans[0].Add(fault.Rule{Name: "*/base/*", Times: fault.Always, Effect: fault.Fail(nil)})
		d := h.start()
		h.work(10)
		d.shipped()
		if st := d.Status(); st.Repositories[0].Bases != 0 || st.Repositories[1].Bases != 1 {
			t.Errorf("%+v", st.Repositories)
		}
		h.heal(0)
		d.until("the copy", func(st Status) bool { return st.Repositories[0].Bases == 1 })
		d.stop()
		h.proveAll()
	})
}

func TestFirstBaseThatSpreadsOverCommits(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		h.w.commit(5, 10)
		h.w.spread = 12
		d := h.start()
		time.Sleep(time.Second)
		h.w.set(func() { h.w.spread = 0 })
		h.work(5)
		d.until("bases", func(st Status) bool { return st.Repositories[0].Bases == 1 && st.Repositories[1].Bases == 1 })
		d.shipped()
		d.stop()
		for _, p := range h.proveAll() {
			if b := p.history.Bases[0]; b.Stop.Seq != b.Start.Seq+12 {
				t.Errorf("%+v", b)
			}
		}
	})
}

func TestSourceThatIsDownComesBack(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		h.w.down = errors.New("nobody is there")
		d := h.start()
		time.Sleep(time.Minute)
		if st := d.Status(); st.SourceError == nil || st.Connected {
			t.Errorf("%+v", st)
		}
		h.w.set(func() { h.w.down = nil })
		h.work(300)
		h.w.set(func() { h.w.down = errors.New("gone again") })
		time.Sleep(time.Minute)
		h.w.set(func() { h.w.down = nil })
		time.Sleep(time.Minute)
		h.work(3)
		d.shipped()
		if st := d.Status(); st.SourceError != nil {
			t.Error(st.SourceError)
		}
		d.stop()
		h.proveAll()
		if h.saw(SourceDown) != 2 || h.saw(SourceUp) != 2 || h.w.bases != 1 {
			t.Errorf("%d bases, events %+v", h.w.bases, h.events)
		}
	})
}

func TestAckRepositoryWaits(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		h.config.Ack = AckRepository
		d := h.start()
		h.work(10)
		d.shipped()
		h.die(0)
		h.work(10)
		d.shipped(1) // one is enough
		h.die(1)
		time.Sleep(10 * time.Second)
		acked := d.Status().Whole.Position
		h.work(10)
		if st := d.Status(); int(st.Position.Seq) >= h.w.count() {
			t.Errorf("capture went on without a repository: %+v after %s", st, acked)
		}
		h.heal(0)
		h.heal(1)
		d.shipped()
		d.stop()
		h.proveAll()
	})
}

func TestIdleSourceBeats(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		d := h.start()
		h.work(3)
		d.shipped()
		puts := h.plans[0].Calls(fault.Put)
		time.Sleep(10 * time.Minute)
		st := d.Status()
		if age := time.Since(st.Repositories[0].Time); age > 15*time.Second {
			t.Errorf("durable up to %s ago", age)
		}
		if n := h.plans[0].Calls(fault.Put) - puts; n > 75 || n < 50 {
			t.Errorf("%d puts in ten idle minutes", n)
		}
		if st.SpoolBytes > 64<<10 {
			t.Errorf("%d bytes in the spool", st.SpoolBytes)
		}
		d.stop()
		p := h.prove(0)
		if age := time.Since(p.windows[0].Until); age > 15*time.Second {
			t.Errorf("window %+v ends %s ago", p.windows[0], age)
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
