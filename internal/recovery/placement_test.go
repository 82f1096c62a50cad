package recovery

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
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

func TestTablespacesStayOutOfTheFolder(t *testing.T) {
	w := newWorld()
	dir := filepath.Join(t.TempDir(), "out")
	d := w.deps(dir)
	d.Engine = settling{}
	for _, to := range []string{dir, filepath.Join(dir, "space")} {
		d.Placement = engine.Placement{Tablespaces: map[string]string{"/srv/a": to}}
		if _, err := Run(t.Context(), w.plan(t, "latest"), d); err == nil {
			t.Errorf("a tablespace was put into %s", to)
		} else if e, ok := errors.AsType[*InsideError](err); !ok || e.Hint() == "" {
			t.Errorf("error %v", err)
		}
	}
	requireGone(t, dir)
}

// trying is the values engine as one that looks at a base before it is laid, and holds something until it settles.
type trying struct {
	enginetest.Values
	tried     *[]string // what there was to look at
	abandoned *int
	err       error // of Preflight
	replayErr error
}

func (trying) Needs() []string { return []string{enginetest.ValuesFile, "not in this base"} }

func (e trying) Preflight(_ context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	for _, f := range entries {
		*e.tried = append(*e.tried, f.Name())
	}
	return errors.Join(err, e.err)
}

func (e trying) Replay(ctx context.Context, dir string, log engine.Log, to engine.Goal) (engine.Reached, error) {
	r, err := e.Values.Replay(ctx, dir, log, to)
	return r, errors.Join(err, e.replayErr)
}

func (e trying) Abandon() error {
	*e.abandoned++
	return nil
}

func TestAnEngineLooksBeforeABaseIsLaid(t *testing.T) {
	missing := errors.New("no server is installed")
	for name, c := range map[string]struct {
		preflight, replay error
		abandoned         int
	}{"it can": {}, "it can't": {preflight: missing, abandoned: 1}, "it fails later": {replay: missing, abandoned: 1}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			dir := filepath.Join(t.TempDir(), "out")
			d := w.deps(dir)
			var tried []string
			abandoned := 0
			d.Engine = trying{tried: &tried, abandoned: &abandoned, err: c.preflight, replayErr: c.replay}
			res, err := Run(t.Context(), w.plan(t, "latest"), d)
			if want := errors.Join(c.preflight, c.replay); (err == nil) != (want == nil) {
				t.Fatalf("Run: %v, want %v", err, want)
			}
			if !slices.Equal(tried, []string{enginetest.ValuesFile}) || abandoned != c.abandoned {
				t.Errorf("looked at %v, abandoned %d times", tried, abandoned)
			}
			if c.preflight != nil && (!errors.Is(err, missing) || res.LaidBytes != 0) {
				t.Errorf("Run: %v with %d bytes laid", err, res.LaidBytes)
			}
			if err != nil {
				requireGone(t, dir)
				return
			}
			w.requireData(t, dir, 40)
		})
	}
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
