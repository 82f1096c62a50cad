package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

// TestRollbackLarge: a file of some size is compared and copied before the lock is taken, so that writers wait for little.
func TestRollbackLarge(t *testing.T) {
	t.Parallel()
	r := &rig{app: startApp(t, "delete"), state: t.TempDir()}
	r.Commit(t)
	r.sql(t, fmt.Sprintf("CREATE TABLE bulk AS WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i<%d) SELECT i, randomblob(3000) AS b FROM c", lockFree/3000))
	time.Sleep(2 * quiet)
	r.connect(t)
	r.base(t, engine.BaseOptions{})
	f := enginetest.Follow(t, r.src, r.rec)
	for range 5 {
		r.Commit(t)
		enginetest.Settled(t, harness, r.rec)
	}
	last := r.Commit(t).N
	enginetest.Until(t, 5*time.Second, "the last change", func() bool { c, _, _ := r.rec.Counts(); return c >= 6 })
	held := r.src.Status().HoldsUp
	second := &enginetest.Sink{}
	res, err := r.src.TakeBase(t.Context(), engine.BaseOptions{}, second)
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Settled(t, harness, r.rec)
	f.Stop()
	t.Logf("%d MB, %+v, held up %s", res.Base.Bytes>>20, r.src.Counters(), held)
	if n := r.src.Counters(); n.Compares < 6 {
		t.Errorf("counters %+v", n)
	}
	r.latest(t, last)
	dir, reached := enginetest.Restore(t, harness, second, &enginetest.Log{}, engine.Goal{})
	if got := r.Stands(t, dir, reached); got != last {
		t.Errorf("the second base stands at change %d, want %d", got, last)
	}
	if left, _ := filepath.Glob(filepath.Join(r.state, "*.tmp")); len(left) > 0 {
		t.Errorf("%s is left behind", left)
	}
}

// TestHotJournal: a writer that died in the middle of its commit leaves a journal; what it wrote is not taken for data.
func TestHotJournal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "delete")
	f := enginetest.Follow(t, r.src, r.rec)
	last := 0
	for range 20 {
		last = r.Commit(t).N
	}
	if line := r.tell(t, "hang"); line != "hanging" {
		t.Fatal(line)
	}
	if info, err := os.Stat(r.path + "-journal"); err != nil || info.Size() == 0 {
		t.Fatalf("the writer has no journal: %v", err)
	}
	r.kill()
	enginetest.Until(t, 10*time.Second, "the journal to be rolled back", func() bool {
		_, err := os.Stat(r.path + "-journal")
		return os.IsNotExist(err)
	})
	enginetest.Settled(t, harness, r.rec)
	f.Stop()
	r.latest(t, last)
}

// TestTableIsKept: without the table a restart after missed changes needs a new base, with it they are one commit.
func TestTableIsKept(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{true, false} {
		r := newRig(t, "delete")
		r.follow(t)
		r.close(t)
		if !keep {
			r.state = t.TempDir()
		}
		last := r.Commit(t).N
		r.connect(t)
		if !keep {
			r.gap(t, enginetest.Follow(t, r.src, r.rec).Wait(), "nobody was watching")
			continue
		}
		r.follow(t)
		r.latest(t, last)
	}
}
