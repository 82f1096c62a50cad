package archive

import (
	"context"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/store/fault"
)

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
		if n := h.plans[0].Calls(fault.Put) - puts; n > 30 || n < 15 {
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

// TestIdleSourceIsWholeUpToItsBase: a base says nothing of the time before it; the next statement follows at once.
func TestIdleSourceIsWholeUpToItsBase(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, h *house) {
		for i := range h.stores {
			h.heartbeats = append(h.heartbeats, time.Duration(i+1)*time.Minute)
		}
		d := h.start()
		h.work(3)
		d.shipped()
		time.Sleep(10*time.Minute + 7*time.Second)
		if _, err := d.Backup(context.Background()); err != nil {
			t.Fatal(err)
		}
		d.until("the copy", func(st Status) bool { return st.Repositories[1].Bases == 2 })
		time.Sleep(time.Second)
		for i := range h.stores {
			if w := h.facts(i).History.Windows(); len(w) != 1 {
				t.Errorf("repository %d: windows %+v", i, w)
			}
		}
		d.stop()
	})
}

// TestSoonAfterTheLastCommitItIsWhole: within seconds of a commit one can ask for a moment after it.
func TestSoonAfterTheLastCommitItIsWhole(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, h *house) {
		h.addRepoIn(mustLocal(t, t.TempDir()))
		d := h.start()
		time.Sleep(time.Minute)
		h.w.commit(3, 10)
		d.shipped()
		for _, idle := range []time.Duration{2, 4, 8, 16, 60} {
			time.Sleep(idle*time.Second - time.Since(h.w.times[len(h.w.times)-1]))
			if behind := time.Since(d.Status().Repositories[1].Time); behind > min(idle*time.Second*2/3, 11*time.Second) {
				t.Errorf("after %d idle seconds: whole up to %s ago", idle, behind)
			}
		}
		d.stop()
	})
}

func (h *house) facts(i int) repository.Facts {
	h.t.Helper()
	r, err := repository.Open(context.Background(), h.stores[i], repository.Options{Source: "app"})
	if err != nil {
		h.t.Fatal(err)
	}
	facts, err := r.Facts(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	return facts
}
