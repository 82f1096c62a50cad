package archive

import (
	"errors"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/store/fault"
)

func (h *house) die(i int) { h.plans[i].Add(fault.Rule{Times: fault.Always, Effect: fault.Fail(nil)}) }

func (h *house) hang(i int) { h.plans[i].Add(fault.Rule{Times: fault.Always, Effect: fault.Hang()}) }

func (h *house) heal(i int) { h.plans[i].Clear() }

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
				t.Parallel()
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
	dense := 6
	if testing.Short() {
		dense = 1
	}
	for name, effect := range map[string]fault.Effect{"fails": fault.Fail(nil), "fails after": fault.FailAfter(nil), "cut": fault.Cut(10)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for nth := 1; ; nth += 1 + nth/dense {
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
		})
	}
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

// TestAckWaitsForAsManyRepositoriesAsArePromised: of three repositories any two are enough, and one is not.
func TestAckWaitsForAsManyRepositoriesAsArePromised(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, h *house) {
		h.config.Ack, h.config.Copies = AckRepository, 2
		d := h.start()
		h.work(10)
		d.shipped()
		h.die(0)
		h.work(10)
		d.shipped(1, 2)
		h.die(2)
		time.Sleep(10 * time.Second)
		h.work(1)
		time.Sleep(10 * time.Second) // the one that is left has it by now
		before := h.w.ackedNow()
		h.work(10)
		time.Sleep(time.Minute)
		if after := h.w.ackedNow(); after != before || after >= h.w.count() {
			t.Errorf("%d of %d commits were acknowledged with one repository of two, %d before", after, h.w.count(), before)
		}
		if at := d.Confirmed(); int(at.Seq) != before {
			t.Errorf("%s is said to be confirmed, %d was", at, before)
		}
		h.heal(0)
		d.shipped(0, 1)
		d.until("the acknowledgement", func(Status) bool { return h.w.ackedNow() == h.w.count() })
		h.heal(2)
		d.shipped()
		d.stop()
		h.proveAll()
	})
}

// TestAdviceIsAskedForAgain: somebody changes settings while we run.
func TestAdviceIsAskedForAgain(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		d := h.start()
		for _, text := range []string{"wait", "do not wait"} {
			h.w.set(func() { h.w.advice = text })
			h.work(1)
			time.Sleep(time.Minute)
			if list := d.Status().Identity.Advice; len(list) != 1 || list[0].Text != text {
				t.Errorf("%+v, want %q", list, text)
			}
		}
		if h.w.connects != 1 {
			t.Errorf("it was connected to %d times", h.w.connects)
		}
		d.stop()
	})
}
