package watch

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/history"
)

// write adds log behind what there is, in one segment.
func (w *world) write(bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	from := w.end()
	w.history.Segments = append(w.history.Segments, history.Segment{From: from, To: history.At(1, from.Seq+1), Since: time.Now(), Until: time.Now(), Bytes: bytes})
	w.arrive(from.Seq + 1)
}

// arrive shows that log came up to there. The caller holds the lock.
func (w *world) arrive(seq uint64) {
	var sources []api.Source
	for _, s := range w.status.Sources {
		s.Repositories = slices.Clone(s.Repositories)
		for i := range s.Repositories {
			s.Repositories[i].Position = history.At(1, seq)
		}
		sources = append(sources, s)
	}
	w.status.Sources = sources
}

// end is the position behind all log and bases. The caller holds the lock.
func (w *world) end() history.Position {
	at := history.At(1, 1)
	for _, b := range w.history.Bases {
		at = history.At(1, max(at.Seq, b.Stop.Seq))
	}
	for _, s := range w.history.Segments {
		at = history.At(1, max(at.Seq, s.To.Seq))
	}
	return at
}

// reasons are why bases were taken, the oldest first.
func (w *world) reasons() (why []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.entries {
		if e.What == "base" {
			why = append(why, e.Why)
		}
	}
	return why
}

func TestMuchLogMakesABaseDueOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		watch, stop := w.keep(t, promised(t, `base_after: 10GiB, base: { full: monthly }, drill: monthly`, true))
		defer stop()
		if _, err := w.Base(t.Context(), "app", "full"); err != nil {
			t.Fatal(err)
		}
		before := w.times("base full")
		for range 12 {
			w.write(1 << 30)
			time.Sleep(10 * time.Minute)
		}
		time.Sleep(time.Hour)
		if why := w.reasons(); len(why) != 1 || why[0] != "full base is due: there are 10 GiB of log since the last base, bound 10 GiB" {
			t.Errorf("bases were taken because of %q", why)
		}
		if got := w.times("base full") - before; got != 1 {
			t.Errorf("%d bases for 12 GiB of log", got)
		}

		// While another job of the source runs it waits, and plan says why it is due.
		if _, err := watch.RunNow(t.Context(), "app", KindDrill, "anna"); err != nil {
			t.Fatal(err)
		}
		w.write(20 << 30)
		watch.wake("app")
		time.Sleep(30 * time.Second)
		job := planned(t, watch, "base/full")
		if job.State != "hold" || !strings.Contains(job.Reason, "20 GiB of log") && !strings.Contains(job.Reason, "22 GiB of log") {
			t.Errorf("planned: %+v", job)
		}
		time.Sleep(time.Hour)
		if got := w.times("base full") - before; got != 2 {
			t.Errorf("%d bases for 32 GiB of log", got)
		}
	})
}

func planned(t *testing.T, w *Watch, kind string) api.Job {
	t.Helper()
	for _, job := range w.Plan() {
		if job.Kind == kind {
			return job
		}
	}
	t.Fatalf("%s is not planned: %+v", kind, w.Plan())
	return api.Job{}
}

// measured is a drill that laid 10 GiB in lay, and replayed 10 GiB of log at 50 MiB a second.
func measured(lay time.Duration) drill.Report {
	return drill.Report{Ended: time.Now(), Verdict: drill.Proved, LaidBytes: 10 << 30, LaySeconds: lay.Seconds(), LogBytes: 10 << 30, FetchSeconds: 5, ReplaySeconds: 205, StartSeconds: 2}
}

func TestALongReplayMakesABaseDue(t *testing.T) {
	for _, c := range []struct {
		name  string
		lay   time.Duration // of the base
		log   int64
		bases int
	}{
		{"well within the promise", time.Minute, 2 << 30, 0},
		{"near the promise because of the log", time.Minute, 30 << 30, 1},
		{"laying takes all the time: no base helps", 16 * time.Minute, 30 << 30, 0},
		{"hardly any log: no base helps", 9 * time.Minute, 1 << 30, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.reports = []drill.Report{measured(c.lay)}
				_, stop := w.keep(t, promised(t, `rto: 10m`, false))
				defer stop()
				w.mu.Lock()
				at := history.At(1, 1)
				w.history.Bases = []history.Base{{ID: "20260101T000000Z", Type: history.Full, Start: at, Stop: at, Bytes: 10 << 30}}
				w.mu.Unlock()
				w.write(c.log)
				time.Sleep(time.Hour)
				why := w.reasons()
				if len(why) != c.bases {
					t.Errorf("bases were taken because of %q, want %d", why, c.bases)
				}
				for _, reason := range why {
					if !strings.Contains(reason, "forecast to take") || !strings.Contains(reason, "RTO of 10m") {
						t.Errorf("reason %q", reason)
					}
				}
			})
		})
	}
}

// TestABaseThatFailsIsNotTakenForEver: what asks for it still stands after each failure.
func TestABaseThatFailsIsNotTakenForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		_, stop := w.keep(t, promised(t, `base_after: 1GiB`, false))
		defer stop()
		if _, err := w.Base(t.Context(), "app", "full"); err != nil {
			t.Fatal(err)
		}
		w.broken = true
		w.write(2 << 30)
		time.Sleep(3 * time.Hour)
		if got := w.times("base full") - 1; got < 3 || got > 20 {
			t.Errorf("a base that fails was tried %d times in three hours", got)
		}
	})
}
