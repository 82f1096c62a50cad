package archive

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/store/fault"
)

// TestBackupBesideTheFirstBase: whoever asks while the first base is being taken gets that one; a later request is a
// new one.
func TestBackupBesideTheFirstBase(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		h.w.slowBase, h.w.spread = 10*time.Second, 5
		h.hang(1)
		d := h.start()
		time.Sleep(15 * time.Second) // nothing is begun before the second repository had its chance
		first, err := d.Backup(context.Background())
		if err != nil || h.w.bases != 1 {
			t.Errorf("%v, %d bases were taken", err, h.w.bases)
		}
		h.heal(1)
		second, err := d.Backup(context.Background())
		if err != nil || first.ID == second.ID || h.w.bases != 2 {
			t.Errorf("%v, %s after %s, %d bases were taken", err, second.ID, first.ID, h.w.bases)
		}
		h.w.set(func() { h.w.slowBase, h.w.spread = 0, 0 })
		h.work(2)
		d.shipped()
		d.stop()
		h.proveAll()
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

// TestBackupBeforeAGapIsFound asks for a base while it is being found out whether the log can be continued, and ends as soon as it is there, as the
// command does that runs alone: the base stands on the new line, and what was lost before it is recorded.
func TestBackupBeforeAGapIsFound(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		d := h.start()
		h.work(10)
		d.shipped()
		d.stop()
		h.w.commit(5, 10)
		h.w.trim()
		h.w.slowJoin = 30 * time.Second
		d = h.start()
		b, err := d.Backup(context.Background())
		if err != nil || b.Start.Timeline != 2 || h.w.bases != 2 {
			t.Errorf("%v, a base at %s, %d bases were taken", err, b.Start, h.w.bases)
		}
		d.stop()
		d = h.start()
		h.work(3)
		d.shipped()
		time.Sleep(time.Minute)
		d.stop()
		p := h.prove(0)
		if gaps := p.history.AllGaps(); len(gaps) != 1 || gaps[0].Reason != "the log was trimmed" || h.w.bases != 2 || h.saw(SpoolLost) > 0 {
			t.Errorf("%d bases, gaps %+v", h.w.bases, gaps)
		}
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

func TestDamageOfTheSourceIsTold(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		h.w.commit(5, 10)
		h.w.damage = []string{"lines: wrong page checksum in block 3"}
		d := h.start()
		time.Sleep(time.Second)
		d.until("the base", func(st Status) bool { return st.Repositories[0].Bases == 1 })
		d.shipped()
		d.stop()
		if n := h.saw(BaseDamaged); n != 1 {
			t.Errorf("it was told %d times", n)
		}
		if b := h.proveAll()[0].history.Bases[0]; b.DamagedPages != 1 {
			t.Errorf("the base says %d damaged pages", b.DamagedPages)
		}
	})
}

// TestOwnBasesAreStoodAround: the first base and one after a gap are taken inside of Own, one that somebody asks for is not.
func TestOwnBasesAreStoodAround(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		own, inside := 0, 0
		h.config.Own = func(ctx context.Context, take func(context.Context) error) error {
			own++
			before := h.w.bases
			err := take(ctx)
			inside += h.w.bases - before
			return err
		}
		d := h.start()
		d.until("the first base", func(st Status) bool { return len(st.Repositories) == 1 && st.Repositories[0].Bases == 1 })
		if own != 1 || inside != 1 {
			t.Errorf("around the first base %d times, %d bases in it", own, inside)
		}
		if _, err := d.Backup(context.Background()); err != nil || own != 1 {
			t.Errorf("%v; around one that was asked for: %d", err, own)
		}
		h.work(3)
		d.shipped()
		d.stop()
		h.proveAll()
	})
}

// TestABaseOutlivesItsSession: the log is followed anew while a base goes on that has connections of its own; it ends where it can be of no
// use any more.
func TestABaseOutlivesItsSession(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(h *house)
		ends    string // what the base ends with; "": it is kept
	}{
		"nothing":        {func(*house) {}, ""},
		"a gap":          {func(h *house) { h.w.trim() }, "the log was trimmed"},
		"another source": {func(h *house) { h.w.set(func() { h.w.system = "2" }) }, "another one now"},
		"a fork":         {func(h *house) { h.w.fork(h.w.count()) }, "timeline 2"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(t *testing.T, h *house) {
				h.w.lasts = true
				d := h.start()
				h.work(10)
				d.shipped()
				h.w.set(func() { h.w.slowBase = 10 * time.Hour })
				began := time.Now()
				done := make(chan error, 1)
				go func() { _, err := d.Backup(context.Background()); done <- err }()
				time.Sleep(time.Hour)
				for range 3 {
					h.w.set(func() { h.w.down = errors.New("away") })
					h.w.commit(5, 10)
					time.Sleep(10 * time.Minute)
					h.w.set(func() { h.w.down = nil })
					time.Sleep(10 * time.Minute)
				}
				h.w.set(func() { h.w.down = errors.New("away") })
				time.Sleep(time.Minute)
				h.w.commit(5, 10)
				h.w.set(func() { h.w.slowBase = 0 })
				c.happens(h)
				h.w.set(func() { h.w.down = nil })
				err := <-done
				took := time.Since(began)
				if c.ends == "" && (err != nil || took < 10*time.Hour || h.w.bases != 2) {
					t.Errorf("after %s: %v, %d bases were taken", took, err, h.w.bases)
				}
				if c.ends != "" && (err == nil || !strings.Contains(err.Error(), c.ends) || took > 3*time.Hour) {
					t.Errorf("after %s: %v, want %q", took, err, c.ends)
				}
				d.shipped()
				d.stop()
			})
		})
	}
}

// TestTheLogIsFollowedWhileABaseBeginsItsLine: the first base, and one after a gap; what breaks the stream does not end it, and when the base
// fails the log is kept, and another one taken beside it.
func TestTheLogIsFollowedWhileABaseBeginsItsLine(t *testing.T) {
	for name, fails := range map[string]bool{"": false, "the base fails": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(t *testing.T, h *house) {
				h.w.lasts, h.w.slowBase, h.w.failBase = true, 10*time.Hour, fails
				h.w.commit(5, 10)
				d := h.start()
				time.Sleep(time.Hour)
				h.work(5)
				d.shipped()
				if st := d.Status(); !st.Following || st.Repositories[0].Bases != 0 {
					t.Errorf("in the middle of the first base: %+v", st)
				}
				h.w.set(func() { h.w.down = errors.New("away") })
				time.Sleep(time.Minute)
				h.w.set(func() { h.w.down = nil })
				h.work(2)
				d.shipped()
				h.w.set(func() { h.w.slowBase = 0 }) // of the next one
				time.Sleep(9 * time.Hour)
				if fails {
					if st := d.Status(); st.Repositories[0].Error == nil || !st.Following || h.w.bases > 4 {
						t.Errorf("after the base failed: %d were taken, %+v", h.w.bases, st)
					}
				}
				h.w.set(func() { h.w.failBase = false })
				d.until("the base", func(st Status) bool { return st.Repositories[0].Bases == 1 && st.Repositories[0].Error == nil })
				h.work(2)
				d.shipped()
				if !fails && h.w.bases != 1 {
					t.Errorf("%d bases were taken", h.w.bases)
				}
				d.stop()
				if p := h.prove(0); len(p.windows) != 1 || len(p.history.Gaps) != 0 {
					t.Errorf("gaps %+v, windows %+v", p.history.Gaps, p.windows)
				}
			})
		})
	}
}
