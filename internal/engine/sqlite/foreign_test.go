package sqlite

import (
	"os"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

// TestCopiedOver: another database is written over the file, which keeps its name and its inode.
func TestCopiedOver(t *testing.T) {
	t.Parallel()
	for _, checkpoint := range []string{"PASSIVE", "TRUNCATE"} {
		r, other := newRig(t, "wal"), newRig(t, "wal")
		for range 20 {
			other.Commit(t)
		}
		other.close(t)
		other.quit(t)
		r.sql(t, "CREATE TABLE bulk AS WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i<100) SELECT randomblob(3000) AS b FROM c")
		f := enginetest.Follow(t, r.src, r.rec)
		r.Commit(t)
		enginetest.Settled(t, harness, r.rec)
		enginetest.Until(t, 5*time.Second, "a checkpoint that finished", func() bool {
			r.sql(t, "PRAGMA wal_checkpoint("+checkpoint+")")
			r.Commit(t)
			enginetest.Settled(t, harness, r.rec)
			info, err := os.Stat(r.path)
			return err == nil && info.Size() > 100<<12
		})
		time.Sleep(quiet)
		content, err := os.ReadFile(other.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		copied := time.Now()
		r.gap(t, f.Wait(), "behind SQLite's back")
		if late := time.Since(copied); late > 5*time.Second {
			t.Errorf("noticed after %s", late)
		}
		r.close(t)
		r.kill()
		for _, suffix := range []string{"-wal", "-shm"} {
			if err := os.Remove(r.path + suffix); err != nil {
				t.Fatal(err)
			}
		}
		r.run(t)
		r.connect(t)
		r.base(t, engine.BaseOptions{After: r.rec.Bookmark().Position, NewTimeline: true})
		last := r.Commit(t).N
		r.follow(t)
		r.latest(t, last)
	}
}

// TestTouched: a new time of the file alone is no change, and costs one reading of it.
func TestTouched(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	f := enginetest.Follow(t, r.src, r.rec)
	r.Commit(t)
	enginetest.Settled(t, harness, r.rec)
	if err := os.Chtimes(r.path, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	enginetest.Until(t, 5*time.Second, "a closer look", func() bool { return r.src.Counters().Scans == 1 })
	last := r.Commit(t).N
	enginetest.Settled(t, harness, r.rec)
	f.Stop()
	r.latest(t, last)
}

// TestCheckpointsRaiseNoSuspicion: the application's checkpoints, and ours, write the file as they may.
func TestCheckpointsRaiseNoSuspicion(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	r.src.limits.checkpoint = 10
	f := enginetest.Follow(t, r.src, r.rec)
	last := 0
	for i := range 300 {
		last = r.Commit(t).N
		switch i % 20 {
		case 5:
			r.sql(t, "PRAGMA wal_checkpoint(PASSIVE)")
		case 15:
			r.sql(t, "PRAGMA wal_checkpoint(TRUNCATE)")
		}
	}
	enginetest.Settled(t, harness, r.rec)
	f.Stop()
	if n := r.src.Counters(); n.Scans != 0 || n.Checkpoints == 0 {
		t.Errorf("counters %+v", n)
	}
	r.latest(t, last)
}

// TestCopiedOverUnderAWAL: as long as the WAL holds every page nothing is lost, and the next checkpoint puts the file right.
func TestCopiedOverUnderAWAL(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	r.sql(t, "PRAGMA wal_autocheckpoint=0")
	f := enginetest.Follow(t, r.src, r.rec)
	r.Commit(t)
	enginetest.Settled(t, harness, r.rec)
	if err := os.WriteFile(r.path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	enginetest.Until(t, 5*time.Second, "a closer look", func() bool { return r.src.Counters().Scans == 1 })
	r.sql(t, "PRAGMA wal_checkpoint(TRUNCATE)")
	last := r.Commit(t).N
	enginetest.Settled(t, harness, r.rec)
	f.Stop()
	r.latest(t, last)
	r.base(t, engine.BaseOptions{After: r.rec.Bookmark().Position})
	r.latest(t, last)
}
