package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

// TestMissedButThere: what was committed while nobody watched and still stands in the WAL is captured commit by commit.
func TestMissedButThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	r.follow(t)
	r.close(t)
	last := 0
	for range 5 {
		last = r.Commit(t).N
	}
	r.connect(t)
	before, _, _ := r.rec.Counts()
	r.follow(t)
	if after, _, _ := r.rec.Counts(); after-before != 5 || r.src.Counters().Bridges+r.src.Counters().Scans != 0 {
		t.Errorf("%d commits, %+v", after-before, r.src.Counters())
	}
	if r.rec.Holes() == 0 {
		t.Error("a restart leaves a hole in time")
	}
	r.latest(t, last)
}

// TestRestKeepsTheWAL: connections that may write are closed while nothing is committed, with no other process there, and the WAL stays
// as it is: what is committed later is captured without a hole.
func TestRestKeepsTheWAL(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	r.src.limits.checkpoint, r.src.limits.idleEvery, r.src.limits.restAfter = 10, 100*time.Millisecond, 300*time.Millisecond
	f := enginetest.Follow(t, r.src, r.rec)
	for limit := time.Now().Add(10 * time.Second); r.src.Counters().Checkpoints == 0; r.Commit(t) {
		if time.Now().After(limit) {
			t.Fatal("no connection was opened that may write")
		}
	}
	enginetest.Settled(t, harness, r.rec)
	r.quit(t)
	for limit := time.Now().Add(10 * time.Second); r.src.writers.Stats().OpenConnections > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d connections that may write stay open", r.src.writers.Stats().OpenConnections)
		}
	}
	if info, err := os.Stat(r.path + "-wal"); err != nil || info.Size() == 0 {
		t.Fatalf("the WAL is gone: %v", err)
	}
	holes := r.rec.Holes()
	r.run(t)
	last := 0
	for range 20 {
		last = r.Commit(t).N
	}
	enginetest.Settled(t, harness, r.rec)
	f.Stop()
	if got := r.rec.Holes(); got != holes || r.src.Counters().Bridges != 0 {
		t.Errorf("%d holes more, %+v", got-holes, r.src.Counters())
	}
	r.latest(t, last)
}

// TestMissedAndCopied: a checkpoint copied the missed commits into the database, so they become one.
func TestMissedAndCopied(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	for range 40 {
		r.Commit(t)
	}
	f := enginetest.Follow(t, r.src, r.rec)
	enginetest.Settled(t, harness, r.rec)
	r.sql(t, "PRAGMA wal_checkpoint(TRUNCATE)")
	r.Commit(t)
	enginetest.Settled(t, harness, r.rec)
	f.Stop()
	r.close(t)
	for range 5 {
		r.Commit(t)
	}
	r.sql(t, "DELETE FROM orders WHERE id<0; UPDATE orders SET body=randomblob(length(body))")
	r.sql(t, "PRAGMA wal_checkpoint(PASSIVE)")
	r.connect(t)
	r.follow(t)
	if n := r.src.Counters(); n.Bridges != 1 {
		t.Errorf("counters %+v", n)
	}
	last := r.Commit(t).N
	r.follow(t)
	r.latest(t, last)
}

// TestNewWALAfterAll: the application ended, so its WAL is gone, and it began a new one; nothing was missed of the old.
func TestNewWALAfterAll(t *testing.T) {
	t.Parallel()
	for _, commits := range []int{0, 3} {
		r := newRig(t, "wal")
		r.follow(t)
		r.close(t)
		r.quit(t) // the last connection: the WAL is folded in and removed
		if _, err := os.Stat(r.path + "-wal"); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("the WAL is still there: %v", err)
		}
		r.run(t)
		for range commits {
			r.Commit(t)
		}
		r.connect(t)
		before, _, _ := r.rec.Counts()
		r.follow(t)
		after, _, _ := r.rec.Counts()
		if n := r.src.Counters(); n.Scans != 1 || after-before < commits {
			t.Errorf("%d commits, counters %+v", after-before, n)
		}
		last := r.Commit(t).N
		r.follow(t)
		r.latest(t, last)
	}
}

// TestCloseAfterApplication: who closes last folds the WAL in, and that costs no base.
func TestCloseAfterApplication(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	last := r.Commit(t).N
	r.follow(t)
	r.quit(t)
	r.close(t)
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(r.path + suffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", suffix, err)
		}
	}
	r.connect(t)
	r.follow(t)
	r.latest(t, last)
}

// TestCloseKeepsWhatWasNotShipped: a WAL with commits that nobody has is left as it is.
func TestCloseKeepsWhatWasNotShipped(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	r.follow(t)
	last := r.Commit(t).N
	r.quit(t)
	r.close(t)
	if info, err := os.Stat(r.path + "-wal"); err != nil || info.Size() == 0 {
		t.Fatalf("the WAL is gone: %v", err)
	}
	r.connect(t)
	r.follow(t)
	// SQLite recovers the WAL and then cannot tell how much of it was copied: sums decide, at worst those of the whole database.
	if n := r.src.Counters(); n.Bridges != 0 || n.Scans > 1 || n.Commits != 1 {
		t.Errorf("counters %+v", n)
	}
	r.latest(t, last)
}

// TestMachineCrash: a machine that crashes can lose the end of a WAL that was not synced.
func TestMachineCrash(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	for range 5 {
		r.Commit(t)
	}
	r.follow(t)
	r.kill()
	db, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	wal, err := os.ReadFile(r.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	r.close(t)
	if err := os.WriteFile(r.path, db, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path+"-wal", wal[:len(wal)-6000], 0o600); err != nil {
		t.Fatal(err)
	}
	r.connect(t)
	r.gap(t, enginetest.Follow(t, r.src, r.rec).Wait(), "earlier state")
	r.run(t)
	last := r.Commit(t).N
	r.base(t, engine.BaseOptions{After: r.rec.Bookmark().Position, NewTimeline: true})
	r.follow(t)
	r.latest(t, last)
}

func TestReplacedFile(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, mode)
			other := newRig(t, mode)
			f := enginetest.Follow(t, r.src, r.rec)
			enginetest.Settled(t, harness, r.rec)
			r.kill()
			other.quit(t)
			other.close(t)
			os.Remove(r.path + "-wal")
			os.Remove(r.path + "-shm")
			if err := os.Rename(other.path, r.path); err != nil {
				t.Fatal(err)
			}
			r.gap(t, f.Wait(), "replaced by another")
			r.run(t)
			r.base(t, engine.BaseOptions{After: r.rec.Bookmark().Position, NewTimeline: true})
			last := r.Commit(t).N
			r.follow(t)
			r.latest(t, last)
		})
	}
}

func TestDeletedFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	f := enginetest.Follow(t, r.src, r.rec)
	enginetest.Settled(t, harness, r.rec)
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	err := f.Wait()
	var hint interface{ Hint() string }
	if !errors.Is(err, os.ErrNotExist) || !errors.As(err, &hint) {
		t.Fatalf("Follow: %v", err)
	}
	if err := (r.src.Status()).LastError; err == nil {
		t.Error("the status tells nothing")
	}
}

// TestModeChanges: the application turns WAL mode on while we follow, and off while we do not.
func TestModeChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, "delete")
	f := enginetest.Follow(t, r.src, r.rec)
	r.Commit(t)
	enginetest.Settled(t, harness, r.rec)
	r.sql(t, "PRAGMA journal_mode=WAL")
	last := r.Commit(t).N
	enginetest.Until(t, 5*time.Second, "WAL mode", func() bool { return r.src.Counters().Commits > 0 && r.src.Status().HeldBytes > 0 })
	for range 5 {
		last = r.Commit(t).N
	}
	enginetest.Settled(t, harness, r.rec)
	f.Stop()
	r.latest(t, last)
	r.close(t)
	r.sql(t, "PRAGMA journal_mode=DELETE")
	r.connect(t)
	f = enginetest.Follow(t, r.src, r.rec)
	enginetest.Until(t, 5*time.Second, "the end of Follow or a heartbeat", func() bool { return len(f.Done()) > 0 || r.rec.Holes() > 0 })
	if len(f.Done()) > 0 {
		r.gap(t, f.Wait(), "nobody was watching") // the switch itself writes page 1
		r.base(t, engine.BaseOptions{After: r.rec.Bookmark().Position, NewTimeline: true})
	} else {
		f.Stop()
	}
	last = r.Commit(t).N
	r.follow(t)
	r.latest(t, last)
}

// TestHeldTooLong: while ship waits the WAL grows, and beyond the bound it is let go.
func TestHeldTooLong(t *testing.T) {
	t.Parallel()
	for _, checkpoint := range []bool{false, true} {
		r := newRig(t, "wal")
		r.src.limits.held, r.src.limits.patience = 200<<10, 0
		f := enginetest.Follow(t, r.src, r.rec)
		r.Commit(t)
		enginetest.Settled(t, harness, r.rec)
		release := r.rec.Hold()
		for range 100 {
			r.Commit(t)
		}
		enginetest.Until(t, 5*time.Second, "the WAL to be let go", func() bool { return r.src.Counters().Unpinned == 1 })
		if checkpoint {
			r.Commit(t)
			r.sql(t, "PRAGMA wal_checkpoint(TRUNCATE)")
		}
		last := r.Commit(t).N
		release()
		if checkpoint {
			r.gap(t, f.Wait(), "reset while nobody was watching")
			r.base(t, engine.BaseOptions{After: r.rec.Bookmark().Position, NewTimeline: true})
			r.follow(t)
		} else {
			enginetest.Settled(t, harness, r.rec)
			f.Stop()
		}
		r.latest(t, last)
	}
}

// TestShipHoldsNobodyUp: a shipment that takes long while we hold the write lock gives the lock back.
func TestShipHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, "wal")
	r.src.limits.checkpoint = 5
	slow := func(ctx context.Context, p []engine.Piece) error {
		time.Sleep(300 * time.Millisecond)
		return r.rec.Ship(ctx, p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.src.Follow(ctx, r.rec.Bookmark(), slow) }()
	starved := enginetest.Canary(t)
	worst, last := time.Duration(0), 0
	for range 60 {
		start := time.Now()
		last = r.Commit(t).N
		worst = max(worst, time.Since(start))
		time.Sleep(20 * time.Millisecond)
	}
	if worst > 250*time.Millisecond+2*starved() {
		t.Errorf("a commit took %s", worst)
	}
	enginetest.Settled(t, harness, r.rec)
	cancel()
	<-done
	if n := r.src.Counters(); n.Checkpoints == 0 {
		t.Errorf("counters %+v", n)
	}
	r.latest(t, last)
}

// TestHugeTransaction: memory is bounded, and the LTX file comes in parts.
func TestHugeTransaction(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a transaction larger than memory may grow by")
	}
	r := newRig(t, "wal")
	size := 100 << 20 // more than memory may grow by
	if soak {
		size = 1 << 30
	}
	var parts, largest int
	peak := uint64(0)
	count := func(_ context.Context, pieces []engine.Piece) error {
		bytes := 0
		for _, p := range pieces {
			bytes += len(p.Data)
			if p.File != "" {
				parts++
			}
		}
		largest = max(largest, bytes)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
		return nil
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.src.Follow(ctx, r.rec.Bookmark(), count) }()
	r.sql(t, fmt.Sprintf("INSERT INTO orders(n,body) SELECT 0, randomblob(3500) FROM (WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i<%d) SELECT i FROM c)", size/4096))
	enginetest.Until(t, 60*time.Second, "the transaction", func() bool { return r.src.Status().Position.Seq >= 2 })
	cancel()
	<-done
	t.Logf("%d parts, largest shipment %d bytes, heap from %d to %d MiB", parts, largest, m.HeapInuse>>20, peak>>20)
	if parts < 10 || largest > 8<<20 {
		t.Errorf("%d parts, the largest shipment %d bytes", parts, largest)
	}
	if peak > m.HeapInuse+64<<20 {
		t.Errorf("the heap grew from %d to %d MiB", m.HeapInuse>>20, peak>>20)
	}
}
