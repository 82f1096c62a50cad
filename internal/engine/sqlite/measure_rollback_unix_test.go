//go:build unix

package sqlite

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/enginetest"
)

// TestMeasureRollback prints how long after a commit into 1 GB in rollback-journal mode it is shipped, and for how long
// writers wait: for single commits, and for a writer that never rests. Set BACKSTAY_MEASURE to run it.
func TestMeasureRollback(t *testing.T) {
	if os.Getenv("BACKSTAY_MEASURE") == "" {
		t.Skip("BACKSTAY_MEASURE is not set")
	}
	r := &rig{app: startApp(t, "delete"), state: t.TempDir()}
	r.sql(t, "PRAGMA synchronous=0")
	r.sql(t, "CREATE TABLE bulk AS WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i<261000) SELECT i, randomblob(3900) AS b FROM c")
	r.sql(t, "PRAGMA synchronous=2")
	r.connect(t)
	res, err := r.src.TakeBase(t.Context(), engine.BaseOptions{}, diskSink{t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	r.rec = enginetest.NewRecorder(res.Bookmark)
	f := enginetest.Follow(t, r.src, r.rec)
	var late, held []time.Duration
	for range 8 {
		time.Sleep(1500 * time.Millisecond)
		before := r.rec.Bookmark().Position.Seq
		e := r.Commit(t)
		enginetest.Until(t, 20*time.Second, "the change", func() bool { return r.rec.Bookmark().Position.Seq > before })
		late, held = append(late, time.Since(e.After)), append(held, r.src.Status().HoldsUp)
	}
	t.Logf("%d MB, single commits: shipped after %s; held up %s", res.Base.Bytes>>20, quantiles(late), quantiles(held))

	var waits []time.Duration
	late, held = nil, nil
	cpu, start := cpuTime(), time.Now()
	unshipped := []time.Time{}
	for seq := r.rec.Bookmark().Position.Seq; time.Since(start) < 20*time.Second; {
		e := r.Commit(t)
		waits, unshipped = append(waits, e.After.Sub(e.Before)), append(unshipped, e.After)
		if now := r.rec.Bookmark(); now.Position.Seq > seq {
			seq = now.Position.Seq
			held = append(held, r.src.Status().HoldsUp)
			for len(unshipped) > 0 && unshipped[0].Before(now.Time) {
				late, unshipped = append(late, time.Since(unshipped[0])), unshipped[1:]
			}
		}
	}
	t.Logf("%d commits without rest: shipped after %s; held up %s; commits took %s; %.0f %% of a core", len(waits), quantiles(late), quantiles(held), quantiles(waits),
		100*(cpuTime()-cpu).Seconds()/time.Since(start).Seconds())
	f.Stop()
	info, err := os.Stat(filepath.Join(r.state, tableName))
	t.Logf("%+v, table %v %v", r.src.Counters(), info, err)
}
