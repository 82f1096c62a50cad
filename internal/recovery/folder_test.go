package recovery

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

// leave makes what a restore leaves behind that was killed half-way.
func leave(t *testing.T, source string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "dir")
	f, err := take(dir, mark{Source: source, Started: ten})
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(f.data(), "half", "laid")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "file"), []byte("x"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(half, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := f.release(); err != nil { // as the end of the process does
		t.Fatal(err)
	}
	return dir
}

func TestAnUnfinishedRestoreIsBegunAnew(t *testing.T) {
	w := newWorld()
	d := w.deps(leave(t, "shop"))
	res, err := Run(t.Context(), w.plan(t, "latest"), d)
	if err != nil || !res.Restarted {
		t.Fatalf("restarted %v, %v", res.Restarted, err)
	}
	w.requireData(t, d.Dir, 40)
}

func TestAnUnfinishedRestoreOfAnotherSourceIsLeftAlone(t *testing.T) {
	w := newWorld()
	d := w.deps(leave(t, "other"))
	_, err := Run(t.Context(), w.plan(t, "latest"), d)
	if e, ok := errors.AsType[*BusyError](err); !ok || e.Hint() == "" {
		t.Errorf("error %v", err)
	}
	half := filepath.Join(d.Dir, Marker, dataName, "half", "laid")
	if _, err := os.Stat(filepath.Join(half, "file")); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(half, 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestARunningRestoreIsLeftAlone(t *testing.T) {
	w := newWorld()
	dir := filepath.Join(t.TempDir(), "dir")
	f, err := take(dir, mark{Source: "shop", Started: ten})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Run(t.Context(), w.plan(t, "latest"), w.deps(dir))
	if _, ok := errors.AsType[*BusyError](err); !ok {
		t.Errorf("error %v", err)
	}
	if err := f.abandon(); err != nil {
		t.Fatal(err)
	}
	requireGone(t, dir)
}

func TestARestoreThatDiedWhileMovingUpIsBegunAnew(t *testing.T) {
	w := newWorld()
	d := w.deps(leave(t, "shop"))
	f := &folder{path: d.Dir}
	if err := f.moveUp(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(d.Dir, "half")); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), w.plan(t, "latest"), d); err != nil {
		t.Fatal(err)
	}
	w.requireData(t, d.Dir, 40)
}

func TestAnUnfinishedRestoreBesideOtherThingsIsNotBegunAnew(t *testing.T) {
	w := newWorld()
	d := w.deps(leave(t, "shop"))
	precious := filepath.Join(d.Dir, "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), w.plan(t, "latest"), d)
	if e, ok := errors.AsType[*NotEmptyError](err); !ok || e.Name != "precious" {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

// TestWhatSomebodyElsePutThereStays lets a file appear while the restore is under way, of the name that the data
// wants.
func TestWhatSomebodyElsePutThereStays(t *testing.T) {
	w := newWorld()
	d := w.deps(t.TempDir())
	precious := filepath.Join(d.Dir, enginetest.ValuesFile)
	d.Progress = func(Step, int64, int64) {
		if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
			t.Error(err)
		}
	}
	_, err := Run(t.Context(), w.plan(t, "latest"), d)
	if _, ok := errors.AsType[*NotEmptyError](err); !ok {
		t.Errorf("error %v", err)
	}
	if text, err := os.ReadFile(precious); err != nil || string(text) != "x" {
		t.Errorf("it holds %q, %v", text, err)
	}
	requireGone(t, filepath.Join(d.Dir, Marker))
}
