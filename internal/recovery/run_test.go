package recovery

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/pack"
)

func TestRunStopsExactlyAtTheTarget(t *testing.T) {
	w := newWorld()
	for _, c := range []struct {
		target   string
		seq      int
		base     string
		segments int
	}{
		{"latest", 40, "b25", 3},
		{"immediate", 25, "b25", 0},
		{"position:1/10", 10, "b10", 0},
		{"position:0/24", 24, "b10", 3},
		{"seq:27", 27, "b25", 1},
		{"before-seq:27", 26, "b25", 1},
		{"xid:1013", 13, "b10", 1},
		{"before-xid:1013", 12, "b10", 1},
		{"before-xid:1016", 15, "b10", 1},
		{"name:release", 33, "b25", 2},
		{"2026-11-20T10:13:00Z", 13, "b10", 1},
		{"2026-11-20T10:13:59.999Z", 13, "b10", 1},
		{"2026-11-20T10:15:00Z", 15, "b10", 1},
		{"2026-11-20T10:15:30Z", 15, "b10", 2},
		{"2026-11-20T10:40:00Z", 40, "b25", 3},
	} {
		t.Run(c.target, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "b")
			p := w.plan(t, c.target)
			res, err := Run(t.Context(), p, w.deps(dir))
			if err != nil {
				t.Fatal(err)
			}
			if res.Reached.Position != history.At(1, uint64(c.seq)) || res.Base != c.base || res.Segments != c.segments {
				t.Errorf("result %+v", res)
			}
			if res.LaidBytes == 0 || (res.LogBytes > 0) != (c.segments > 0) || res.RestoreSeconds <= 0 {
				t.Errorf("measured %+v", res)
			}
			w.requireData(t, dir, c.seq)
		})
	}
}

func TestRunTakesOnlyFoldersThatHoldNothing(t *testing.T) {
	w := newWorld()
	p := w.plan(t, "latest")
	full := t.TempDir()
	precious := filepath.Join(full, "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), p, w.deps(full))
	if e, ok := errors.AsType[*NotEmptyError](err); !ok || e.Name != "precious" || e.Hint() == "" {
		t.Errorf("into a folder with a file: %v", err)
	}
	if _, err := Run(t.Context(), p, w.deps(precious)); err == nil {
		t.Error("into a file: no error")
	}
	if _, err := Run(t.Context(), p, w.deps(filepath.Join(precious, "sub"))); err == nil {
		t.Error("below a file: no error")
	}
	if entries, err := os.ReadDir(full); err != nil || len(entries) != 1 {
		t.Errorf("folder now holds %v, %v", entries, err)
	}
	empty := t.TempDir()
	if _, err := Run(t.Context(), p, w.deps(empty)); err != nil {
		t.Errorf("into an empty folder: %v", err)
	}
	w.requireData(t, empty, 40)
}

func TestRunCleansUpAfterEveryFailure(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		plant   func(w *world, d *Deps)
		damaged string // what the error blames; "" for none
	}{
		"base damaged": {func(w *world, d *Deps) {
			w.baseErr["b25"] = &pack.CorruptError{Object: "shop/base/b25/pack-00001", Detail: "digest"}
		}, "shop/base/b25/pack-00001"},
		"base missing":    {func(w *world, d *Deps) { w.baseErr["b25"] = fs.ErrNotExist }, "base/b25"},
		"base unreadable": {func(w *world, d *Deps) { w.baseErr["b25"] = boom }, ""},
		"disk full":       {func(w *world, d *Deps) { w.baseErr["b25"] = &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC} }, ""},
		"segment missing": {func(w *world, d *Deps) { w.log["log/1/30-35"].Err = fs.ErrNotExist }, "log/1/30-35"},
		"segment damaged": {func(w *world, d *Deps) {
			w.log["log/1/30-35"].Err = &pack.CorruptError{Object: "shop/log/1/30-35", Detail: "frame"}
		}, "log/1/30-35"},
		"segment damaged within": {func(w *world, d *Deps) {
			w.log["log/1/35-40"].Tail = &pack.CorruptError{Object: "shop/log/1/35-40", Detail: "frame"}
		}, "log/1/35-40"},
		"segment unreadable": {func(w *world, d *Deps) { w.log["log/1/30-35"].Tail = boom }, ""},
		"segment of another content": {func(w *world, d *Deps) {
			w.log["log/1/30-35"].Data = w.log["log/1/35-40"].Data
		}, "log/1/30-35"},
		"engine fails": {func(w *world, d *Deps) {
			d.Engine = enginetest.Values{Fault: func(string) error { return syscall.ENOSPC }}
		}, ""},
		"engine stops early":  {func(w *world, d *Deps) { d.Engine = enginetest.Values{Stray: 1} }, ""},
		"no room":             {func(w *world, d *Deps) { d.FreeBytes = func(string) (int64, error) { return 10, nil } }, ""},
		"room cannot be told": {func(w *world, d *Deps) { d.FreeBytes = func(string) (int64, error) { return 0, boom } }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			parent := t.TempDir()
			d := w.deps(filepath.Join(parent, "new", "dir"))
			p := w.plan(t, "latest")
			other := newWorld()
			c.plant(w, &d)
			d.Origins = append(d.Origins, other.origin("offsite"))
			_, err := Run(t.Context(), p, d)
			if err == nil {
				t.Fatal("no error")
			}
			damage, ok := errors.AsType[*DamageError](err)
			switch {
			case ok != (c.damaged != ""):
				t.Fatalf("blames the backup: %v: %v", ok, err)
			case ok && (damage.Object.Name != c.damaged || damage.Object.Repository != "local" || damage.Lost == ""):
				t.Errorf("blames %+v", damage.Object)
			case ok && !strings.Contains(damage.Hint(), "offsite"):
				t.Errorf("hint: %s", damage.Hint())
			}
			requireGone(t, filepath.Join(parent, "new"))

			empty := t.TempDir()
			d.Dir = empty
			if _, err := Run(t.Context(), p, d); err == nil {
				t.Fatal("no error")
			}
			if entries, err := os.ReadDir(empty); err != nil || len(entries) != 0 {
				t.Errorf("a folder that was there holds %v, %v", entries, err)
			}
		})
	}
}

func TestAlternativesAreWaysThatExist(t *testing.T) {
	w := newWorld()
	latest := history.Target{Kind: history.Latest}
	for _, c := range []struct {
		damaged Object
		target  history.Target
		want    string
	}{
		{Object{"local", "shop/base/b25/pack-00001", "b25"}, latest, "local b10"},
		{Object{"local", "log/1/5-10", ""}, latest, "local b25"},
		{Object{"local", "log/1/30-35", ""}, history.Target{Kind: history.AtPosition, Position: history.At(1, 34)}, ""},
		{Object{"spool", "spool/40-41", ""}, latest, "local b25"},
	} {
		got := ""
		for _, a := range Alternatives([]Origin{w.origin("local")}, c.damaged, c.target) {
			got += a.Repository + " " + a.Base
		}
		if got != c.want {
			t.Errorf("without %v to %s: %q, want %q", c.damaged, c.target, got, c.want)
		}
	}
}

func TestRunReadsTheSpoolBehindTheRepository(t *testing.T) {
	w := newWorld()
	full := w.origin("local")
	stored := w.history
	stored.Segments = stored.Segments[:7]
	spool := enginetest.ValueLog{w.log["log/1/35-40"]}
	o := full
	o.History = WithSpool(stored, spool, history.Moment{Position: history.At(1, 40), Time: ten.Add(41 * 60e9)})
	p, err := PlanFor(o.History, history.Target{Kind: history.AtTime, Time: ten.Add(40*60e9 + 5e9)}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "dir")
	d := w.deps(dir)
	d.Spool = spool
	delete(w.log, "log/1/35-40") // The repository does not have it.
	if _, err := Run(t.Context(), p, d); err != nil {
		t.Fatal(err)
	}
	w.requireData(t, dir, 40)
	spool[0].Err = &pack.CorruptError{Object: "spool", Detail: "checksum"}
	d.Dir = filepath.Join(t.TempDir(), "dir")
	_, err = Run(t.Context(), p, d)
	if e, ok := errors.AsType[*DamageError](err); !ok || e.Object.Repository != "spool" {
		t.Errorf("damaged spool: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	w := newWorld()
	ctx, cancel := context.WithCancel(t.Context())
	d := w.deps(filepath.Join(t.TempDir(), "dir"))
	d.Progress = func(Step, int64, int64) { cancel() }
	if _, err := Run(ctx, w.plan(t, "latest"), d); !errors.Is(err, context.Canceled) || !Environment(err) {
		t.Errorf("error %v", err)
	}
	requireGone(t, d.Dir)
}

func TestRestoreAcrossAForkLeavesOutWhatTheParentWentOnWith(t *testing.T) {
	w := newWorld()
	// Promoted at 1/32; timeline 2 went on at 10:38. The parent's commits up to 1/35 lie in the segment of the fork.
	w.history.Segments = w.history.Segments[:7]
	w.history.Forks = []history.Fork{{Child: 2, At: history.At(1, 32)}}
	child := enginetest.NewValueSegment("log/2/32-33", history.At(2, 32), ten.Add(38*60e9),
		[]enginetest.ValueCommit{{Position: history.At(2, 33), Time: ten.Add(39 * 60e9), Value: "x"}})
	w.log[child.Name] = child
	w.history.Segments = append(w.history.Segments, child.Segment)
	p, err := PlanFor(w.history, history.Target{Kind: history.AtTime, Time: ten.Add(34 * 60e9)}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "dir")
	if _, err := Run(t.Context(), p, w.deps(dir)); err != nil {
		t.Fatal(err)
	}
	w.requireData(t, dir, 32)
}
