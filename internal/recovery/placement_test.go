package recovery

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/history"
)

// settling is the values engine as one that can be placed and wants to settle.
type settling struct {
	enginetest.Values
	placed  engine.Placement
	goal    *engine.Goal
	settled *string
	err     error
}

func (s settling) Place(p engine.Placement) (engine.Restorer, error) {
	s.placed = p
	return s, nil
}

func (s settling) Replay(ctx context.Context, dir string, log engine.Log, to engine.Goal) (engine.Reached, error) {
	*s.goal = to
	return s.Values.Replay(ctx, dir, log, to)
}

func (s settling) Settle(_ context.Context, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, Marker)); err != nil {
		return errors.New("settled after the mark was gone: a crash would leave it undone")
	}
	if _, err := os.Stat(filepath.Join(dir, enginetest.ValuesFile)); err != nil || !s.placed.Standby {
		return errors.Join(err, errors.New("settled before the data was there, or not as placed"))
	}
	*s.settled = dir
	return s.err
}

func TestAnEngineSettlesInTheFinalFolder(t *testing.T) {
	w := newWorld()
	w.history.Forks = append(w.history.Forks, history.Fork{Child: 7, At: history.At(1, 40)})
	dir, settled, goal := filepath.Join(t.TempDir(), "out"), "", engine.Goal{}
	d := w.deps(dir)
	d.Engine, d.Placement = settling{settled: &settled, goal: &goal}, engine.Placement{Standby: true}
	if _, err := Run(t.Context(), w.plan(t, "position:1/30"), d); err != nil {
		t.Fatal(err)
	}
	if settled != dir {
		t.Errorf("settled in %q, want %q", settled, dir)
	}
	if goal.Taken != 7 {
		t.Errorf("timelines up to %d are said to be taken, want 7", goal.Taken)
	}
	w.requireData(t, dir, 30)
}

func TestARestoreThatCannotSettleLeavesNothing(t *testing.T) {
	w := newWorld()
	dir, settled := filepath.Join(t.TempDir(), "out"), ""
	d := w.deps(dir)
	d.Engine, d.Placement = settling{settled: &settled, goal: &engine.Goal{}, err: os.ErrPermission}, engine.Placement{Standby: true}
	if _, err := Run(t.Context(), w.plan(t, "latest"), d); !errors.Is(err, os.ErrPermission) {
		t.Fatalf("Run: %v", err)
	}
	requireGone(t, dir)
}

func TestAnEngineWithoutPlacementsRefusesThem(t *testing.T) {
	w := newWorld()
	dir := filepath.Join(t.TempDir(), "out")
	d := w.deps(dir)
	d.Placement = engine.Placement{Standby: true}
	if _, err := Run(t.Context(), w.plan(t, "latest"), d); err == nil {
		t.Error("a standby of what has no standbys was restored")
	}
	requireGone(t, dir)
}

// blameless is an error of an engine that says whose fault it is.
type blameless struct{ damaged bool }

func (blameless) Error() string { return "no server is installed" }

func (b blameless) Damaged() bool { return b.damaged }

func TestAnEngineSaysThatNothingIsDamaged(t *testing.T) {
	if !Environment(blameless{false}) || Environment(blameless{true}) {
		t.Error("the engine's word does not count")
	}
}
