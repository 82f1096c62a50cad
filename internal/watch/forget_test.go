package watch

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/retention"
)

// cold is a file with a source whose old history goes to the repository cold.
func cold(t *testing.T, class string) []Source {
	t.Helper()
	c, err := config.Parse(config.Name, []byte("repositories: { local: { store: ./repo }, far: { store: ./far }, cold: { store: ./cold } }\nclasses: { c: { repositories: [local, far], "+class+
		" } }\nsources: { app: { url: \"sqlite:./app.db\", class: c } }\n"))
	if err != nil {
		t.Fatal(err)
	}
	return []Source{{Name: "app", Source: c.Sources["app"]}}
}

func TestWhatIsOldIsMovedFromEachRepository(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		now := time.Now()
		for day := range 6 {
			at := history.At(1, uint64(day+1))
			stood := now.AddDate(0, 0, day-6)
			w.history.Bases = append(w.history.Bases, history.Base{ID: fmt.Sprint(day), Start: at, Stop: at, StartTime: stood, StopTime: stood})
		}
		watch, stop := w.keep(t, cold(t, `keep: { last: 50, move: { after: 3d, to: cold } }`))
		defer stop()
		if _, err := watch.RunNow(t.Context(), "app", KindRetention, "anna"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if w.times("move local to cold") != 1 || w.times("move far to cold") != 1 || w.times("move cold to cold") != 0 || w.times("forgotten") != 0 {
			t.Errorf("did %v", w.did)
		}
	})
}

// TestDamageOfWhatIsOldIsAFailure: no new base brings it back, and somebody must hear of it.
func TestDamageOfWhatIsOldIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.damage, w.damaged = []repository.Damage{{Object: "app/base/0/manifest", Kind: repository.Missing, Detail: "it is missing"}}, "cold"
		if _, err := w.Base(t.Context(), "app", "full"); err != nil {
			t.Fatal(err)
		}
		watch, stop := w.keep(t, cold(t, `base: { full: monthly }, check_every: 1d, keep: { last: 50, move: { after: 3d, to: cold } }`))
		defer stop()
		time.Sleep(time.Minute)
		before := w.times("base full")
		if _, err := watch.RunNow(t.Context(), "app", KindCheck, "anna"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		e := w.entriesOf(audit.Check)
		if len(e) == 0 || e[0].Outcome != audit.Failed || !strings.Contains(e[0].Error, "repository cold") || w.times("base full") != before {
			t.Errorf("%d checks, %d new bases: %+v", len(e), w.times("base full")-before, e[:min(1, len(e))])
		}
	})
}

// TestRepositoriesAreJudgedTogether: what lies in the colder one counts among the newest that stay, and what is only there
// is not dropped here.
func TestRepositoriesAreJudgedTogether(t *testing.T) {
	bases := func(from, to int) (h history.History) {
		for n := from; n < to; n++ {
			at := history.At(1, uint64(n+1))
			h.Bases = append(h.Bases, history.Base{ID: fmt.Sprint(n), Start: at, Stop: at, StopTime: time.Date(2026, 1, n+1, 0, 0, 0, 0, time.UTC)})
		}
		return h
	}
	p := config.Promise{Repositories: []string{"local"}, Keep: config.Keep{Move: config.Move{After: config.Span(time.Hour), To: "cold"}}}
	now := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	decide := func(held map[string]history.History) map[string]Forgetting {
		return Forget(p, retention.Rules{Last: 6}, held, func(string) retention.Facts { return retention.Facts{} }, now)
	}
	d := decide(map[string]history.History{"local": bases(5, 9), "cold": bases(0, 5)})
	if len(d["cold"].Drop) != 3 || len(d["local"].Drop) != 0 || d["cold"].Move != nil || d["local"].Move == nil {
		t.Errorf("of nine the newest six stay: %+v", d)
	}
	// Where one does not answer more stays, never less.
	if d := decide(map[string]history.History{"cold": bases(0, 5)}); len(d["cold"].Drop) != 0 {
		t.Errorf("the colder one alone: %+v", d)
	}
}
