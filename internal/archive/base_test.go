package archive

import (
	"context"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/repository"
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
