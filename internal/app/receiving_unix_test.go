//go:build unix

package app

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// acknowledgedBy is how far a standby has confirmed the log, "" if it does not stream.
func (w *trio) acknowledgedBy(t *testing.T, name string) string {
	t.Helper()
	return w.servers[0].Ask(t, "select coalesce((select flush_lsn::text from pg_stat_replication where state = 'streaming' and application_name = $1 limit 1), '')", name)
}

// notes are those that a server has.
func (w *trio) notes(t *testing.T, i int) []int {
	t.Helper()
	rows, err := w.servers[i].Connect(t).Query(t.Context(), "select text::int from notes")
	if err != nil {
		t.Fatal(err)
	}
	have, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	return have
}

// TestTheReceiverCountsAsAStandby has two servers, and what is captured as the third whom a commit may wait for. The only standby gets nothing for a
// while: what is acknowledged then is at the primary and the receiver alone. The primary is lost with its disk, and the standby is given the rest.
func TestTheReceiverCountsAsAStandby(t *testing.T) {
	w := newServers(t, 2, false, shopSource, "      vault: { receiver: true, host: here }\n")
	until(t, "the receiver is one of those whom a commit waits for", func() bool {
		c := w.cluster(t)
		return c.State == "serving" && c.Sync == "1 of db2, vault" && c.Members[1].Following == "db1" && c.Members[2].Following == "db1"
	}, func() string { return fmt.Sprintf("%+v", w.cluster(t)) })
	until(t, "the receiver streams", func() bool { return w.acknowledgedBy(t, "vault") != "" })
	d := w.writeOn(t, 3*time.Millisecond)
	d.more(t, 50)

	w.starve(t, "db2")
	d.more(t, 100)
	if there := w.servers[1].Ask(t, "select count(*)::text from notes"); there == fmt.Sprint(d.acknowledged()) {
		t.Fatal("the standby has everything: nothing is shown")
	}
	w.servers[0].Crash(t)
	wipe(t, w.servers[0].Dir)
	d.more(t, 100)
	d.end()
	c := w.serving(t, "db1")
	if c.Primary != "db2" {
		t.Errorf("primary %s", c.Primary)
	}
	d.judge(t, time.Now(), w.notes(t, 1))
	until(t, "the receiver follows the new primary", func() bool { return w.cluster(t).Members[2].Following == "db2" })
	until(t, "the old primary is back", func() bool { return w.cluster(t).Members[0].Following == "db2" })
	end := time.Now()
	until(t, "the repository has all", func() bool {
		r := w.source(t).Repositories[0]
		return r.LagBytes == 0 && r.DurableTime.After(end)
	}, func() string { return fmt.Sprintf("%+v", w.source(t)) })
	w.ungapped(t, 1)
}
