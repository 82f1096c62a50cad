package recovery

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
)

func TestARestoreClaimsWhatItReads(t *testing.T) {
	w := newWorld()
	plan := w.plan(t, "latest")
	d := w.deps(filepath.Join(t.TempDir(), "out"))
	var happened []string
	o := &d.Origins[0]
	o.Hold = func(_ context.Context, chain history.Chain, by string) (func(), error) {
		happened = append(happened, "claim for "+by)
		if chain.Base.ID != plan.Chain.Base.ID || len(chain.Segments) != len(plan.Chain.Segments)-1 {
			t.Errorf("claimed %s with %d segments of %d, one of them in the spool", chain.Base.ID, len(chain.Segments), len(plan.Chain.Segments))
		}
		return func() { happened = append(happened, "release") }, nil
	}
	openBase, openLog := o.OpenBase, o.OpenLog
	o.OpenBase = func(ctx context.Context, id string) (Base, error) {
		happened = append(happened, "base")
		return openBase(ctx, id)
	}
	o.OpenLog = func(segments []history.Segment) engine.Log {
		happened = append(happened, "log")
		return openLog(segments)
	}
	d.Spool = openLog(plan.Chain.Segments[len(plan.Chain.Segments)-1:])
	if _, err := Run(t.Context(), plan, d); err != nil {
		t.Fatal(err)
	}
	if want := []string{"claim for restore", "base", "log", "release"}; !slices.Equal(happened, want) {
		t.Errorf("%q, want %q", happened, want)
	}
}

func TestAPlanOutOfDateIsNoDamage(t *testing.T) {
	w := newWorld()
	d := w.deps(filepath.Join(t.TempDir(), "out"))
	d.Origins[0].Hold = func(context.Context, history.Chain, string) (func(), error) {
		return nil, &repository.UnlistedError{Source: "shop", Object: "base/b25/manifest"}
	}
	_, err := Run(t.Context(), w.plan(t, "latest"), d)
	var forgotten *ForgottenError
	if !errors.As(err, &forgotten) || forgotten.Object != "base/b25/manifest" || forgotten.Hint() == "" {
		t.Errorf("%v", err)
	}
	if _, bad := Damaged(err); bad {
		t.Error("what was forgotten on purpose counts as damage")
	}
	requireGone(t, d.Dir)
}
