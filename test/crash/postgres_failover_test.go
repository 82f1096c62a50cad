package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestFailoverThereAndBack loses the server to its standby and later the standby to the server, while it is followed, and
// restores moments before, at and after each fork.
func TestFailoverThereAndBack(t *testing.T) {
	b := newBank(t, 1, pgtest.Options{})
	a := b.db
	second := a.Standby(t, "second")
	b.url = fmt.Sprintf("postgres://%s@127.0.0.1:%d,127.0.0.1:%d/postgres?target_session_attrs=read-write&sslmode=disable", pgtest.Backup, a.Port, second.Port)
	b.protect()
	b.begun()
	b.ledger.Commit(t) // behind the base, so that there is a moment before the first of the next
	answeredBy(t, a, "second")

	var moments []pgtest.Moment
	moments = append(moments, b.phase()...)
	b.failover(a, second)
	moments = append(moments, b.phase()...)

	b.rejoin(a, second)
	answeredBy(t, second, "second")
	moments = append(moments, b.phase()...)
	b.failover(second, a)
	moments = append(moments, b.phase()...)

	b.protected()
	b.stop()
	for _, m := range moments {
		b.stands(m)
	}
	b.stands(b.ledger.Now())
	b.check()
}

// answeredBy makes a server wait for its standby, so that a failover loses nothing that was answered.
func answeredBy(t *testing.T, c *pgtest.Cluster, standby string) {
	t.Helper()
	c.Set(t, map[string]string{"synchronous_standby_names": standby})
	c.Reload(t)
}

// phase writes for a while and gives the moments of its first and last commit: those beside the forks.
func (b *bank) phase() []pgtest.Moment {
	b.t.Helper()
	first := b.ledger.Commit(b.t)
	b.busy()
	b.grown(100)
	b.still()
	b.ledger.Settle(b.t)
	last := b.ledger.Commit(b.t)
	b.protected()
	return []pgtest.Moment{
		b.ledger.Moment(pgtest.BeforeXID, first), b.ledger.Moment(pgtest.ByXID, first), b.ledger.Moment(pgtest.ByLSN, last), b.ledger.Moment(pgtest.ByTime, last),
	}
}

// failover kills a server under load and promotes its standby.
func (b *bank) failover(from, to *pgtest.Cluster) {
	b.t.Helper()
	b.busy()
	b.grown(50)
	from.Crash(b.t)
	b.still()
	answeredBy(b.t, to, "")
	to.Promote(b.t)
	b.ledger.Move(to)
	b.ledger.Settle(b.t)
}

// rejoin makes the lost server a standby of the new one, from a copy.
func (b *bank) rejoin(lost, primary *pgtest.Cluster) {
	b.t.Helper()
	entries, err := os.ReadDir(lost.Dir)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(lost.Dir, e.Name())); err != nil {
			b.t.Fatal(err)
		}
	}
	primary.CopyTo(b.t, lost.Dir)
	lost.Follow(b.t, primary, "second")
	lost.Start(b.t)
	lost.CatchUp(b.t)
}
