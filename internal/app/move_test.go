package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/retention"
	"github.com/backstaydb/backstay/internal/watch"
)

// moves has what is older than three hours moved to the repository archive.
func (k *kept) moves(t *testing.T) retention.Move {
	t.Helper()
	s := k.host.Config.Sources["app"]
	s.Keep = config.Keep{Last: 100, Move: config.Move{After: config.Span(3 * time.Hour), To: "archive"}}
	k.host.Config.Sources["app"] = s
	k.d.part("app").config = s
	shown, err := k.host.Retention(t.Context(), "app", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range shown {
		if r.Repository == "local" && r.Move != nil {
			return *r.Move
		}
	}
	t.Fatalf("no move is shown: %+v", shown)
	return retention.Move{}
}

func (k *kept) held(t *testing.T, r *repository.Repository) int {
	t.Helper()
	f, err := r.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(f.History.Bases)
}

func TestWhatIsOldMovesAndIsFound(t *testing.T) {
	k := newKept(t, 7)
	m := k.moves(t)
	if len(m.Drop) != 4 || m.Drop[0].Name != "base/"+k.bases[0] {
		t.Fatalf("%s", m.Summary)
	}
	if err := (hands{k.d}).Move(t.Context(), "app", "local", m); err != nil {
		t.Fatal(err)
	}
	cold, err := k.d.part("app").writers.get(t.Context(), "archive")
	if err != nil {
		t.Fatal(err)
	}
	if here, there := k.held(t, k.local), k.held(t, cold); here != 3 || there != 4 {
		t.Errorf("%d bases here and %d there, of 7", here, there)
	}
	if err := (hands{k.d}).Move(t.Context(), "app", "local", m); err != nil {
		t.Errorf("twice: %v", err)
	}
	// The other one moves the same: it is there already, and is read once more.
	if err := (hands{k.d}).Move(t.Context(), "app", "far", m); err != nil || k.held(t, k.far) != 3 || k.held(t, cold) != 4 {
		t.Errorf("from the other: %v", err)
	}
	reached, err := k.host.Open(t.Context(), Reach{Source: "app"})
	if err != nil {
		t.Fatal(err)
	}
	defer reached.Close()
	first, err := cold.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := reached.PlanRestore(t.Context(), history.Target{Kind: history.AtPosition, Position: first.History.Bases[0].Stop})
	if err != nil || p.Repository != "archive" || p.Plan.Chain.Base.ID != k.bases[0] {
		t.Errorf("planned from %+v, %v", p, err)
	}
	// Together they are one history: what the rules keep stays in both.
	held := map[string]history.History{}
	for _, o := range reached.Repositories {
		held[o.Name] = o.Facts.History
	}
	decided := watch.Forget(k.host.Config.Sources["app"].Promise, retention.Rules{Last: 5}, held, func(string) retention.Facts { return retention.Facts{} }, k.now)
	if d := decided["archive"]; len(d.Drop) != 2 || d.Move != nil || len(decided["local"].Drop) != 0 {
		t.Errorf("of seven bases the newest five stay: %s; %s", d.Summary, decided["local"].Summary)
	}
}

// TestAMoveWithoutProofDropsNothing damages a copy before it is read.
func TestAMoveWithoutProofDropsNothing(t *testing.T) {
	k := newKept(t, 7)
	m := k.moves(t)
	cold, err := k.d.part("app").writers.get(t.Context(), "archive")
	if err != nil {
		t.Fatal(err)
	}
	if err := cold.CopyBase(t.Context(), k.local, k.bases[1], nil); err != nil {
		t.Fatal(err)
	}
	packs, err := filepath.Glob(filepath.Join(k.host.Config.Dir(), "archive", "app", "base", k.bases[1], "pack-*"))
	if err != nil || len(packs) == 0 {
		t.Fatalf("%v, %v", packs, err)
	}
	if err := os.Remove(packs[0]); err != nil {
		t.Fatal(err)
	}
	err = (hands{k.d}).Move(t.Context(), "app", "local", m)
	if err == nil || !strings.Contains(err.Error(), k.bases[1]) || k.held(t, k.local) != 7 {
		t.Errorf("%d bases are left of 7 after %v", k.held(t, k.local), err)
	}
}
