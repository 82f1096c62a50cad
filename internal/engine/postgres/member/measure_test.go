package member

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/history"
)

// TestMeasureRejoin times how an old primary of 4 GB comes back, 1 GB of log after the fork, with 64 MB of its own that nobody has.
func TestMeasureRejoin(t *testing.T) {
	if os.Getenv("BACKSTAY_MEASURE") == "" {
		t.Skip("BACKSTAY_MEASURE=1 measures")
	}
	settings := map[string]string{"wal_log_hints": "on", "wal_keep_size": "1200MB", "max_wal_size": "4GB", "fsync": "on", "shared_buffers": "256MB", "wal_retrieve_retry_interval": "100ms"}
	old := pgtest.New(t, pgtest.Options{Settings: settings})
	old.Exec(t, "create table big as select n, repeat(md5(n::text), 30) f from generate_series(1, 4000000) n", "create index on big (n)", "checkpoint")
	next := old.Standby(t, "db2")
	next.CatchUp(t)
	t.Logf("database: %s", old.Ask(t, "select pg_size_pretty(pg_database_size('postgres'))"))

	s := serverOf(t, next, nil)
	s.c.Name = "db2"
	must(t, s.Detach(t.Context()))
	old.Exec(t, "update big set f = f || 'x' where n <= 20000")
	must(t, Halt(t.Context(), old.Dir))
	must(t, s.Lead(t.Context(), agent.Lead{Timeline: 2, Others: []string{"db1"}}, yes))
	begun := next.LSN(t)
	for i := 0; next.LSN(t)-begun < 1<<30; i++ {
		next.Exec(t, "update big set f = reverse(f) where n between "+strconv.Itoa(i*50000)+" and "+strconv.Itoa(i*50000+50000))
	}
	t.Logf("log since the fork: %d MB", (next.LSN(t)-begun)>>20)

	back := serverOf(t, old, map[string]string{"db2": wayTo(next)})
	start := time.Now()
	back.c.Said = func(text string) { t.Logf("%s %s", time.Since(start).Round(time.Millisecond), text) }
	end := next.LSN(t)
	acks := make(chan struct{})
	go func() { // the primary's view: a standby that receives acknowledges, long before it has replayed what makes it consistent
		defer close(acks)
		for _, state := range []string{"state in ('catchup', 'streaming')", "flush_lsn >= '" + wal.LSN(end).String() + "'"} {
			for next.Ask(t, "select count(*) from pg_stat_replication where "+state) == "0" {
				time.Sleep(20 * time.Millisecond)
			}
			t.Logf("%s the primary sees %s", time.Since(start).Round(time.Millisecond), state)
		}
	}()
	must(t, back.Start(t.Context(), cluster.Standby))
	t.Logf("its own log replayed after %s", time.Since(start).Round(time.Millisecond))
	defer func() {
		b, err := os.ReadFile(back.c.Log)
		must(t, err)
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, " LOG: ") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}()
	must(t, back.Rejoin(t.Context(), "db2", 2, func(history.Position) error { return nil }))
	t.Logf("rejoined after %s", time.Since(start).Round(time.Millisecond))
	for !look(t, back).Streaming {
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("streams after %s", time.Since(start).Round(time.Millisecond))
	for end = next.LSN(t); old.LSN(t) < end; time.Sleep(10 * time.Millisecond) {
	}
	<-acks
	t.Logf("has everything after %s", time.Since(start).Round(time.Millisecond))
}
