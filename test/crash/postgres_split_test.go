package crash

import (
	"fmt"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestBothLinesAreWritten promotes the standby while the old primary, which is still followed, goes on. When that is lost
// the new one is followed from the fork. Times at which both took commits lead to what the new line had, and what the old
// one had alone stays recoverable by position.
func TestBothLinesAreWritten(t *testing.T) {
	b := newBank(t, 1, pgtest.Options{})
	a := b.db
	a.Exec(t, "create table line (server text, n int)", "insert into line values ('both', 0)")
	second := a.Standby(t, "second")
	b.url = fmt.Sprintf("postgres://%s@127.0.0.1:%d,127.0.0.1:%d/postgres?target_session_attrs=read-write&sslmode=disable", pgtest.Backup, a.Port, second.Port)
	b.protect()
	b.begun()
	second.CatchUp(t)
	second.Promote(t)

	type moment struct{ target, want string }
	var moments []moment
	for i := 1; i <= 3; i++ {
		a.Exec(t, fmt.Sprintf("insert into line values ('old', %d)", i))
		left := a.LSN(t)
		second.Exec(t, fmt.Sprintf("insert into line values ('new', %d)", i))
		time.Sleep(50 * time.Millisecond)
		moments = append(moments, moment{time.Now().UTC().Format(time.RFC3339Nano), fmt.Sprintf("both 1, new %d", i)})
		if i == 2 {
			moments = append(moments, moment{fmt.Sprintf("position:1/%d", uint64(left)), fmt.Sprintf("both 1, old %d", i)})
		}
		time.Sleep(50 * time.Millisecond)
	}
	a.Exec(t, "insert into line values ('old', 4)")
	time.Sleep(1500 * time.Millisecond) // so that the old line is whole until after all of these
	wait := time.Now()
	b.until(30*time.Second, "the old line is whole", func() bool { return b.durable().After(wait) })
	a.Crash(t)
	b.until(60*time.Second, "the new line is followed", func() bool {
		st, ok := b.status()
		return ok && st.Repositories[0].Position.Timeline == 2
	})
	second.Exec(t, "insert into line values ('new', 4)")
	b.protected()
	b.stop()

	for _, m := range append(moments, moment{"latest", "both 1, new 4"}) {
		dir := b.restored(m.target, b.fromRepository()...)
		c := pgtest.Opened(t, b.db.Version, dir, nil)
		c.Start(t)
		if got := c.Ask(t, "select string_agg(server || ' ' || count, ', ' order by server) from (select server, count(*) from line group by server) c"); got != m.want {
			t.Errorf("at %s there is %q, want %q", m.target, got, m.want)
		}
		c.Stop(t)
	}
	b.check()
}
