package watch

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/retention"
)

// world is a daemon that does nothing but count, on a host with a book.
type world struct {
	mu      sync.Mutex
	did     map[string]int
	values  map[string][]byte
	runs    map[string]Run
	entries []audit.Entry
	status  api.Status
	history history.History
	reports []drill.Report
	checked map[string][]Checked
	damage  []repository.Damage
	damaged string // the repository with damage
	mends   bool
	broken  bool          // no base can be taken
	aged    time.Time     // of what was read last
	free    int64         // on the disk of local; zero: nobody knows
	refused string        // why no fingerprint is taken
	unread  int           // parts of repository far
	rounds  map[int64]int // parts that were read in each
}

func newWorld() *world {
	return &world{did: map[string]int{}, damaged: "far", values: map[string][]byte{}, rounds: map[int64]int{}, runs: map[string]Run{},
		status: api.Status{Sources: []api.Source{{Name: "app", Repositories: []api.Repository{{Name: "local"}, {Name: "far"}}}}}}
}

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did[what]++
}

func (w *world) times(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.did[what]
}

func (w *world) Base(_ context.Context, _, kind string) (api.Base, error) {
	w.count("base " + kind)
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return api.Base{}, errors.New("the source does not answer")
	}
	at := history.At(1, w.end().Seq+1)
	w.history.Bases = append(w.history.Bases, history.Base{ID: now.UTC().Format("20060102T150405Z"), Type: history.Full, Start: at, Stop: at, StartTime: now, StopTime: now})
	return api.Base{ID: "b"}, nil
}

func (w *world) Drill(_ context.Context, _, to string, _ []config.Check) (drill.Report, error) {
	w.count("drill " + to)
	time.Sleep(time.Minute)
	return drill.Report{Began: time.Now(), Ended: time.Now(), Verdict: drill.Proved, LaidBytes: 1 << 30, LaySeconds: 30}, nil
}

func (w *world) Fingerprint(context.Context, string) (Taken, error) {
	w.count("fingerprint")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refused != "" {
		return Taken{Refused: w.refused, Hint: "GRANT something"}, nil
	}
	return Taken{ID: "20261121T100000.000Z-fingerprint", Position: history.At(1, 7), Tables: 3, Rows: 40, Bytes: 1 << 20}, nil
}

func (w *world) Check(_ context.Context, _, repo string, c Check) (repository.CheckReport, error) {
	w.count("check " + repo)
	if c.Deep {
		w.count("deep " + repo)
	}
	w.mu.Lock()
	large := w.unread > 0 && repo == "far"
	w.mu.Unlock()
	if large {
		time.Sleep(time.Until(c.Until))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if large {
		w.unread--
		w.rounds[c.Begun.UnixNano()]++
		return repository.CheckReport{Objects: 3, Left: w.unread}, nil
	}
	if repo == w.damaged {
		return repository.CheckReport{Objects: 3, Damage: w.damage}, nil
	}
	return repository.CheckReport{Objects: 3}, nil
}

func (w *world) Repair(_ context.Context, _, repo string, damage []repository.Damage) (repository.Repaired, error) {
	w.count("repair " + repo)
	var r repository.Repaired
	for _, d := range damage {
		if w.mends {
			r.Objects = append(r.Objects, d.Object)
		}
	}
	return r, nil
}

func (w *world) Forget(_ context.Context, _, repo string, o repository.Order) (repository.Dropped, error) {
	w.count("forget " + repo)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did["forgotten"] += len(o.Names)
	w.history.Bases = slices.DeleteFunc(w.history.Bases, func(b history.Base) bool { return slices.Contains(o.Names, "base/"+b.ID) })
	return repository.Dropped{}, nil
}

func (w *world) Move(_ context.Context, _, repo string, m retention.Move) error {
	w.count("move " + repo + " to " + m.To)
	return nil
}

func (w *world) Status(context.Context) (api.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status, nil
}

func (w *world) Facts(context.Context, string, string) (repository.Facts, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.history
	h.Bases, h.Segments = slices.Clone(h.Bases), slices.Clone(h.Segments)
	return repository.Facts{History: h}, nil
}

func (w *world) Checks(_ context.Context, _, repo string) ([]Checked, error) {
	return w.checked[repo], nil
}

func (w *world) Ages(context.Context, string, string) (shallow, deep time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.aged, time.Time{}, nil
}

func (w *world) Free(_ context.Context, _, repo string) (int64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.free, repo == "local" && w.free > 0
}

func (w *world) Drills(context.Context, string) ([]drill.Report, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reports, nil
}

func (w *world) Value(_ context.Context, key string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.values[key], nil
}

func (w *world) SetValue(_ context.Context, key string, value []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.values[key] = value
	return nil
}

func (w *world) AddRun(_ context.Context, r Run) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs[r.ID] = r
	return nil
}

func (w *world) audit(_ context.Context, e audit.Entry) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries = append(w.entries, e)
	return nil
}

// entriesOf lists what was written down about an action.
func (w *world) entriesOf(what audit.Action) []audit.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.entries), func(e audit.Entry) bool { return e.What != what })
}

// promised is a file with one source and what was promised for it.
func promised(t *testing.T, class string, reads bool) []Source {
	t.Helper()
	c, err := config.Parse(config.Name, []byte("repositories: { local: { store: ./repo }, far: { store: ./far } }\nclasses: { c: { repositories: [local, far], "+class+
		" } }\nsources: { app: { url: \"sqlite:./app.db\", class: c } }\n"))
	if err != nil {
		t.Fatal(err)
	}
	return []Source{{Name: "app", Source: c.Sources["app"], Reads: reads}}
}

// keep runs a watch over w until the function it returns is called.
func (w *world) keep(t *testing.T, sources []Source) (*Watch, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	watch, err := New(ctx, Config{Sources: sources, Hands: w, Eyes: w, Book: w, Audit: w.audit, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- watch.Run(ctx) }()
	return watch, func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func TestWhatIsPromisedIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		watch, stop := w.keep(t, promised(t, `rpo: 5s, window: 6h, base: { full: hourly }, keep: { minimum: 2 }, drill: every 2h, check_every: 2h, deep_check_every: 6h`, true))
		time.Sleep(26*time.Hour + time.Minute)
		if _, err := watch.RunNow(t.Context(), "app", KindRetention, "anna"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		stop()
		for what, want := range map[string][2]int{"base full": {26, 26}, "drill random": {13, 13}, "drill latest": {13, 13}, "check local": {17, 21}, "deep far": {4, 5}, "forgotten": {10, 60}} {
			if got := w.times(what); got < want[0] || got > want[1] {
				t.Errorf("%s: %d times in 26 hours, want %d to %d", what, got, want[0], want[1])
			}
		}
		if n := len(w.history.Bases); n < 6 || n > 8 {
			t.Errorf("%d bases are left of a window of six hours", n)
		}
		for _, what := range []audit.Action{audit.Base, audit.Drill, audit.Check, audit.Drop} {
			for _, e := range w.entriesOf(what) {
				if e.Why == "" || e.Outcome != audit.OK || e.Source != "app" {
					t.Errorf("entry %+v", e)
				}
			}
			if len(w.entriesOf(what)) == 0 {
				t.Errorf("nothing is written down of %s", what)
			}
		}
		for _, r := range w.runs {
			if r.Ended.IsZero() || r.Outcome != "done" {
				t.Errorf("run %+v", r)
			}
		}
	})
}

// TestFingerprintsAreTakenWhereTheyCanBe takes one for each drill, also on a host that has no key to drill with.
func TestFingerprintsAreTakenWhereTheyCanBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			drill   string
			can     bool
			refused string
			want    int
			says    string
		}{
			{"drill: every 2h", true, "", 12, "40 rows in 3 tables, at 1/7"},
			{"drill: every 2h", true, "the role may read no table", 12, "none: the role may read no table; GRANT something"},
			{"drill: every 2h", false, "", 0, ""},
			{"drill: { every: every 2h, fingerprint: off }", true, "", 0, ""},
			{"base: { full: daily }", true, "", 0, ""},
		} {
			w := newWorld()
			w.refused = c.refused
			sources := promised(t, c.drill, false)
			sources[0].Fingerprints = c.can
			_, stop := w.keep(t, sources)
			time.Sleep(24*time.Hour + time.Minute)
			stop()
			if got := w.times("fingerprint"); got < c.want-1 || got > c.want+1 || w.times("drill random") > 0 {
				t.Errorf("%+v: %d times", c, got)
			}
			for _, r := range w.runs {
				if r.Kind == KindFingerprint && (r.Outcome != "done" || !strings.HasPrefix(r.Detail, c.says)) {
					t.Errorf("%+v: run %+v", c, r)
				}
			}
			if entries := w.entriesOf(audit.Taken); len(entries) != w.times("fingerprint") {
				t.Errorf("%d entries", len(entries))
			}
		}
	})
}

// TestARestartRepeatsNothing ends a daemon every few hours: what was done is not done again, and what was missed is done once.
func TestARestartRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		sources := promised(t, `base: { full: every 6h }`, true)
		for range 20 {
			_, stop := w.keep(t, sources)
			time.Sleep(20 * time.Minute)
			stop()
			time.Sleep(40 * time.Minute)
		}
		if got := w.times("base full"); got < 3 || got > 4 {
			t.Errorf("%d bases in twenty hours, one each six, with twenty restarts", got)
		}
	})
}

func TestABrokenPromiseShowsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		watch, stop := w.keep(t, promised(t, `rpo: 5s, durable_in: 2`, true))
		defer stop()
		lag := func(seconds float64) {
			w.mu.Lock()
			defer w.mu.Unlock()
			repositories := []api.Repository{{Name: "local"}, {Name: "far", LagSeconds: seconds}}
			w.status = api.Status{Sources: []api.Source{{Name: "app", Repositories: repositories}}}
		}
		rpo := func() api.Promise {
			for _, p := range watch.Promises("app") {
				if p.Objective == "rpo" {
					return p
				}
			}
			t.Fatal("the promise is not shown")
			return api.Promise{}
		}
		time.Sleep(3 * time.Second)
		if p := rpo(); !p.Kept || p.Bound != 5 {
			t.Errorf("at first %+v", p)
		}
		for s := 1.0; s < 40; s++ {
			lag(s)
			time.Sleep(time.Second)
		}
		if p := rpo(); p.Kept || p.Reason == "" || p.Do == "" || p.Measured < 30 {
			t.Errorf("40 s behind: %+v", p)
		}
		lag(0)
		time.Sleep(30 * time.Second)
		if p := rpo(); !p.Kept {
			t.Errorf("in the end %+v", p)
		}
		if e := w.entriesOf(audit.Policy); len(e) != 2 && len(e) != 4 || !strings.Contains(e[len(e)-1].Why, "kept again") {
			t.Errorf("written down: %+v", e)
		}
	})
}

func TestDamageIsMendedOrANewBaseIsTaken(t *testing.T) {
	for _, mends := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.damage, w.mends = []repository.Damage{{Object: "app/base/x/pack-00001", Kind: repository.Altered, Detail: "it is another"}}, mends
			watch, stop := w.keep(t, promised(t, `base: { full: monthly }, check_every: 1h`, true))
			defer stop()
			time.Sleep(2 * time.Hour)
			if w.times("repair far") == 0 || w.times("repair local") != 0 {
				t.Errorf("repairs %v", maps.Clone(w.did))
			}
			if got := w.times("base full"); (got > 0) == mends {
				t.Errorf("mended %t: %d new bases", mends, got)
			}
			damaged := slices.ContainsFunc(watch.Promises("app"), func(p api.Promise) bool { return p.Objective == "check" && !p.Kept })
			if damaged == mends {
				t.Errorf("mended %t: shown as damaged %t", mends, damaged)
			}
		})
	}
}

// TestAHostWithoutAKeySeesTheDrillsOfOthers: it drills nothing, and the promise is kept by reports that it finds.
func TestAHostWithoutAKeySeesTheDrillsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		watch, stop := w.keep(t, promised(t, `drill: every 2h, deep_check_every: 7d`, false))
		defer stop()
		kept := func() bool {
			return !slices.ContainsFunc(watch.Promises("app"), func(p api.Promise) bool { return p.Objective == "drill" && !p.Kept })
		}
		time.Sleep(6 * time.Hour)
		if kept() || w.times("drill latest") != 0 {
			t.Errorf("kept without a drill: %t, drills here: %d", kept(), w.times("drill latest"))
		}
		w.mu.Lock()
		w.reports = []drill.Report{{Ended: time.Now(), Verdict: drill.Proved, Repository: "far"}}
		w.mu.Unlock()
		time.Sleep(3 * time.Minute)
		if !kept() {
			t.Errorf("a drill of another host does not count: %+v", watch.Promises("app"))
		}
	})
}

func TestAPausedSourceRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		watch, stop := w.keep(t, promised(t, `base: { full: hourly }`, true))
		defer stop()
		time.Sleep(90 * time.Minute)
		if err := watch.Pause(t.Context(), "app", "", "anna", "moving disks", time.Time{}); err != nil {
			t.Fatal(err)
		}
		before := w.times("base full")
		time.Sleep(5 * time.Hour)
		if got := w.times("base full"); got != before {
			t.Errorf("%d bases while paused", got-before)
		}
		if err := watch.Resume(t.Context(), "app", "", "anna"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := w.times("base full"); got != before+1 {
			t.Errorf("%d bases were made up for, want one", got-before)
		}
		if text, err := watch.RunNow(t.Context(), "app", "base/full", "anna"); err != nil || !strings.Contains(text, "anna") {
			t.Errorf("run now: %q, %v", text, err)
		}
		if e := w.entriesOf(audit.Pause); len(e) != 1 || e[0].Who.User != "anna" || e[0].Why != "moving disks" {
			t.Errorf("written down: %+v", e)
		}
	})
}

// TestThePlanSpeaksAsTheFile looks for the words of backstay.yaml in what is planned.
func TestThePlanSpeaksAsTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch, stop := newWorld().keep(t, promised(t, "check_every: 1d, deep_check_every: 12h, drill: weekly", true))
		defer stop()
		time.Sleep(time.Second)
		want := map[string]string{KindCheck: "daily check ", KindDeepCheck: "every 12h deep check ", KindDrill: "weekly drill "}
		for _, j := range watch.Plan() {
			if !strings.HasPrefix(j.Reason, want[j.Kind]) {
				t.Errorf("%s: %q, want %q", j.Kind, j.Reason, want[j.Kind])
			}
			delete(want, j.Kind)
		}
		if len(want) > 0 {
			t.Errorf("not planned: %v", want)
		}
	})
}

// TestAFillingDiskIsToldBefore has a disk lose 20 GB a day for days, over restarts of the daemon.
func TestAFillingDiskIsToldBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		sources := promised(t, "rpo: 5s", true)
		found := func(watch *Watch) string {
			for _, p := range watch.Promises("app") {
				if p.Objective == "spool" {
					return p.Severity + ": " + p.Reason
				}
			}
			return ""
		}
		for day, want := range []string{"", "", "warning: the disk of local is full in 6d", "warning: the disk of local is full in 5d", "warning: the disk of local is full in 4d"} {
			watch, stop := w.keep(t, sources)
			for hour := range 24 {
				w.mu.Lock()
				w.free = int64(190<<30) - int64(day*24+hour)*(20<<30)/24
				w.mu.Unlock()
				time.Sleep(time.Hour)
			}
			got := found(watch)
			stop()
			if !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("after day %d: %q, want %q", day+1, got, want)
			}
		}
		w.mu.Lock()
		w.free = 0 // nobody knows
		w.mu.Unlock()
	})
}

// TestHeldLogIsToldBeforeTheDiskIsFull has a server keep log on a disk that is smaller than the bound.
func TestHeldLogIsToldBeforeTheDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		watch, stop := w.keep(t, promised(t, "rpo: 5s", true))
		defer stop()
		for minute := range 10 {
			held := int64(2+minute) << 30
			w.mu.Lock()
			s := w.status.Sources[0]
			s.HeldBytes, s.HeldLimit, s.HeldRoom = held, 100<<30, 40<<30-held
			w.status = api.Status{Sources: []api.Source{s}}
			w.mu.Unlock()
			time.Sleep(time.Minute)
		}
		for _, p := range watch.Promises("app") {
			if p.Objective == "spool" && strings.Contains(p.Reason, "what the source keeps for us is full in") && strings.Contains(p.Reason, "of 40.0 GiB") {
				return
			}
		}
		t.Errorf("%+v", watch.Promises("app"))
	})
}
