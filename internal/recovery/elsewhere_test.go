package recovery

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/backstaydb/backstay/internal/pack"
)

// healer is a mirror in which good objects lie; it hands them over by taking the damage out of the world.
type healer struct {
	w     *world
	has   map[string]bool
	taken []Elsewhere
}

func (h *healer) Elsewhere(_ context.Context, object string, cause error) bool {
	if !h.has[object] {
		return false
	}
	delete(h.w.baseErr, "b25")
	for _, s := range h.w.log {
		if object == "shop/"+s.Name {
			s.Err = nil
		}
	}
	h.taken = append(h.taken, Elsewhere{Object: object, Lacks: "local", From: "far", Reason: cause.Error()})
	return true
}

func (h *healer) Taken() []Elsewhere { return h.taken }

func TestDamagedObjectsComeFromTheMirror(t *testing.T) {
	for _, object := range []string{"pack-00001", "shop/base/b25/manifest", "shop/log/1/30-35"} {
		w := newWorld()
		p := w.plan(t, "latest")
		full := object
		if object == "pack-00001" {
			full = "shop/base/b25/pack-00001"
		}
		damage := &pack.CorruptError{Object: object, Detail: "digest"}
		if object == "shop/log/1/30-35" {
			w.log["log/1/30-35"].Err = damage
		} else {
			w.baseErr["b25"] = damage
		}
		m := &healer{w: w, has: map[string]bool{}}
		d := w.deps(filepath.Join(t.TempDir(), "dir"))
		d.Origins[0].Mirror = m
		_, err := Run(t.Context(), p, d)
		if _, ok := errors.AsType[*DamageError](err); !ok {
			t.Errorf("%s, which no other has: %v", object, err)
		}
		m.has[full] = true
		d.Dir = filepath.Join(t.TempDir(), "dir")
		res, err := Run(t.Context(), p, d)
		if err != nil {
			t.Fatalf("%s: %v", object, err)
		}
		w.requireData(t, d.Dir, 40)
		if len(res.Elsewhere) != 1 || res.Elsewhere[0].Object != full {
			t.Errorf("%s: taken %+v", object, res.Elsewhere)
		}
	}
}

func TestWithoutLeavesTheOtherWays(t *testing.T) {
	w := newWorld()
	o := w.origin("local")
	for _, c := range []struct {
		damaged Object
		base    string // that latest is recovered with
	}{
		{Object{Repository: "local", Name: "base/b25", Base: "b25"}, "b10"},
		{Object{Repository: "far", Name: "base/b25", Base: "b25"}, "b25"},
		{Object{Repository: spoolName, Name: "log/1/35-40"}, "b25"},
	} {
		p, err := PlanFor(o.Without(c.damaged).History, w.plan(t, "latest").Target, Limits{})
		if err != nil || p.Chain.Base.ID != c.base {
			t.Errorf("without %v: base %s, %v", c.damaged, p.Chain.Base.ID, err)
		}
	}
	if len(o.History.Bases) != 2 || len(o.History.Segments) != 8 {
		t.Error("the origin itself was changed")
	}
}
