package watch

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/archive"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/repository"
)

// reader is a receiver that takes everything.
type reader struct {
	mu      sync.Mutex
	changes []notify.Change
}

func (r *reader) Send(_ context.Context, m notify.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, m.Changes...)
	return nil
}

// told lists what was told since the last call: "began critical rpo app".
func (r *reader) told() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, c := range r.changes {
		all = append(all, strings.Join([]string{string(c.Kind), c.Severity.String(), c.Objective, c.Source}, " "))
	}
	r.changes = nil
	return strings.Join(all, ", ")
}

// tell runs a watch that tells r, with its notices in dir.
func (w *world) tell(t *testing.T, sources []Source, dir string, r *reader) (*Watch, func()) {
	t.Helper()
	n, err := notify.Open(notify.Config{Dir: dir, Host: "db1", Receivers: []notify.Receiver{{Name: "all", Route: notify.Route{At: notify.Info}, Sender: r}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watch, err := New(ctx, Config{Sources: sources, Hands: w, Eyes: w, Book: w, Audit: w.audit, Notifier: n, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
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

func (w *world) set(sources ...api.Source) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = api.Status{Sources: sources}
}

func failing(name string) api.Source {
	return api.Source{Name: name, State: "following", Repositories: []api.Repository{{Name: "local", Error: "connection refused"}}}
}

func well(name string) api.Source {
	return api.Source{Name: name, State: "following", Repositories: []api.Repository{{Name: "local"}}}
}

// TestTwoSourcesAreTwoMatters: what is wrong with one repository is told of each source that goes there.
func TestTwoSourcesAreTwoMatters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &reader{}
		w.set(well("app"), well("shop"))
		_, stop := w.tell(t, twoSources(t, "rpo: 5s"), t.TempDir(), r)
		defer stop()
		time.Sleep(20 * time.Second)
		w.set(failing("app"), well("shop"))
		time.Sleep(12 * time.Second)
		if got, want := r.told(), "began warning copies app"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		w.set(well("app"), failing("shop"))
		time.Sleep(12 * time.Second)
		if got := r.told(); !strings.Contains(got, "ended warning copies app") || !strings.Contains(got, "began warning copies shop") {
			t.Errorf("told %q", got)
		}
	})
}

// TestTheEndSaysWhatItWas: how long a promise was kept again is of no interest.
func TestTheEndSaysWhatItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &reader{}
		w.set(failing("app"))
		_, stop := w.tell(t, promised(t, "rpo: 5s", true), t.TempDir(), r)
		defer stop()
		time.Sleep(30 * time.Second)
		w.set(well("app"))
		time.Sleep(20 * time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		if last := r.changes[len(r.changes)-1]; last.Kind != notify.Ended || !strings.HasPrefix(last.Reason, "local fails for") {
			t.Errorf("the end was told as %s: %s", last.Kind, last.Reason)
		}
	})
}

// TestARestartTellsNothingNew ends a daemon while something is wrong: the next one does not know of it at once, and says neither that
// it is over nor that it began.
func TestARestartTellsNothingNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r, dir := newWorld(), &reader{}, t.TempDir()
		w.set(failing("app"))
		sources := promised(t, "rpo: 5s", true)
		_, stop := w.tell(t, sources, dir, r)
		time.Sleep(20 * time.Second)
		stop()
		if got, want := r.told(), "began warning copies app"; got != want {
			t.Fatalf("told %q, want %q", got, want)
		}
		w.set(api.Source{Name: "app", State: "starting"})
		watch, stop := w.tell(t, sources, dir, r)
		time.Sleep(10 * time.Second)
		w.set(failing("app"))
		time.Sleep(30 * time.Second)
		if got := r.told(); got != "" {
			t.Errorf("told after a restart: %q", got)
		}
		w.set(well("app"))
		time.Sleep(20 * time.Second)
		if got, want := r.told(), "ended warning copies app"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		if watch.Promises("app") == nil {
			t.Error("it does not judge")
		}
		stop()
	})
}

// TestWhatHappenedIsTold: what is lost is told and written down at once, though no promise speaks of it.
func TestWhatHappenedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &reader{}
		w.set(well("app"))
		watch, stop := w.tell(t, promised(t, "rpo: 5s", true), t.TempDir(), r)
		defer stop()
		time.Sleep(time.Second)
		gap := archive.Event{Time: time.Now(), Kind: archive.GapFound, Text: "the log cannot be continued", Err: errors.New("it was removed")}
		for range 2 { // the same event, repeated
			watch.Hear("app", gap)
		}
		for range 2 * maxHappenings {
			watch.Hear("app", archive.Event{Kind: archive.BaseProgress})
		}
		watch.Hear("app", archive.Event{Time: time.Now(), Kind: archive.RepositoryDown, Repository: "local"}) // a finding tells that
		time.Sleep(4 * time.Second)
		if got, want := r.told(), "happened critical gap app"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		if e := w.entriesOf(audit.Gap); len(e) == 0 || e[0].Source != "app" || !strings.Contains(e[0].Why, "it was removed") {
			t.Errorf("written down: %+v", e)
		}
	})
}

func TestARepairIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &reader{}
		w.damage, w.mends = []repository.Damage{{Object: "app/base/x/pack-00001", Kind: repository.Altered}}, true
		watch, stop := w.tell(t, promised(t, "check_every: 7d", true), t.TempDir(), r)
		defer stop()
		time.Sleep(time.Second)
		if _, err := watch.RunNow(t.Context(), "app", KindCheck, "anna"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if got, want := r.told(), "happened warning repair app"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// TestASilentSourceIsTrouble: nothing fails, and nothing comes either.
func TestASilentSourceIsTrouble(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		source api.Source
		rpo    time.Duration
		want   string
	}{
		{api.Source{}, time.Second, ""}, // it was never followed, and says why itself
		{api.Source{Captured: now.Add(-2 * time.Second)}, time.Second, ""},
		{api.Source{Captured: now.Add(-9 * time.Second)}, 5 * time.Second, "it was last heard of at 11:59:51"},
		{api.Source{Captured: now.Add(-6 * time.Second)}, 0, ""},
		{api.Source{Captured: now.Add(-6 * time.Second)}, time.Minute, ""},
		{api.Source{State: "failing", Text: "the spool is full"}, 0, "the spool is full"},
		{api.Source{State: "healing", Text: "12 MB stored", Captured: now}, 0, "its log has a gap, and a new base has to be taken before anything newer can be recovered"},
		{api.Source{State: "failing", Text: "x", Error: "connection refused"}, 0, "connection refused"},
	} {
		got, since := troubleOf(c.source, c.rpo, now)
		if got != c.want || strings.Contains(got, "heard") && !since.Equal(c.source.Captured.Add(c.rpo)) {
			t.Errorf("%+v with RPO %v: %q since %v, want %q", c.source, c.rpo, got, since, c.want)
		}
	}
}

// twoSources is a file with two sources of one class.
func twoSources(t *testing.T, class string) []Source {
	t.Helper()
	c, err := config.Parse(config.Name, []byte("repositories: { local: { store: ./repo } }\nclasses: { c: { repositories: [local], "+class+
		" } }\nsources: { app: { url: \"sqlite:./app.db\", class: c }, shop: { url: \"sqlite:./shop.db\", class: c } }\n"))
	if err != nil {
		t.Fatal(err)
	}
	return []Source{{Name: "app", Source: c.Sources["app"]}, {Name: "shop", Source: c.Sources["shop"]}}
}

// TestAStrangersSignatureIsToldOnce has an archive tell of a checkpoint that somebody signed who is not listed.
func TestAStrangersSignatureIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &reader{}
		watch, stop := w.tell(t, promised(t, "rpo: 5s", true), t.TempDir(), r)
		time.Sleep(time.Minute)
		r.told()
		watch.Hear("app", archive.Event{Time: time.Now(), Kind: archive.Stranger, Repository: "far", Text: "somebody who is not listed signed app/ledger/checkpoint/000000000012"})
		time.Sleep(time.Minute)
		if got := r.told(); !strings.Contains(got, "critical signature app") || strings.Contains(got, ",") {
			t.Errorf("told %q", got)
		}
		stop()
		if entries := w.entriesOf(audit.Key); len(entries) != 1 || entries[0].Repository != "far" || !strings.Contains(entries[0].Why, "000000000012") {
			t.Errorf("written down: %+v", entries)
		}
	})
}
