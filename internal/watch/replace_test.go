package watch

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/audit"
)

// TestReplacedPromisesLeaveWhatRunsAlone changes what is promised in the middle of a drill: it is finished, and counts.
func TestReplacedPromisesLeaveWhatRunsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		watch, stop := w.keep(t, promised(t, `drill: weekly, rpo: 5s`, true))
		time.Sleep(time.Minute)
		if _, err := watch.RunNow(t.Context(), "app", KindDrill, "anna"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // of the minute that each of its two targets takes
		if err := watch.Replace(t.Context(), promised(t, `drill: monthly, rto: 10m, base: { full: hourly }`, true)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if w.times("drill random") != 1 || w.times("drill latest") != 1 {
			t.Errorf("drills %v", w.did)
		}
		if e := w.entriesOf(audit.Drill); len(e) != 1 || e[0].Outcome != audit.OK || e[0].Who.Job == "" {
			t.Errorf("written down: %+v", e)
		}
		var made []string
		for _, p := range watch.Promises("app") {
			made = append(made, p.Objective)
			if p.Objective == "drill" && !p.Kept {
				t.Errorf("the drill does not count: %+v", p)
			}
		}
		if text := strings.Join(made, " "); !strings.Contains(text, "rto") || strings.Contains(text, "rpo") {
			t.Errorf("promises %q", text)
		}
		time.Sleep(2 * time.Hour)
		if w.times("base full") == 0 {
			t.Error("what was promised anew is not done")
		}
		if err := watch.Replace(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		before := w.times("base full")
		time.Sleep(3 * time.Hour)
		if w.times("base full") != before || len(watch.Plan()) != 0 {
			t.Errorf("work is done for a source that is gone: %v", w.did)
		}
		stop()
		if watch.Judged().IsZero() {
			t.Error("nobody judged")
		}
	})
}
