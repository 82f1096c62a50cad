package crash

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestEveryMomentOfAServer restores at random recorded moments, under pgbench, and compares row by row.
func TestEveryMomentOfAServer(t *testing.T) {
	b := newBank(t, 2, pgtest.Options{Checksums: true})
	b.ledger.Points = true
	stop := b.bench()
	b.busy()
	b.protect()
	b.begun()
	first := b.ledger.Now() // what came before the base can't be restored to
	time.Sleep(time.Duration(times(6, 60)) * time.Second)
	b.still()
	stop()
	b.ledger.Settle(t)
	time.Sleep(1500 * time.Millisecond) // an idle server, so that "now" lies behind the last commit
	now := time.Now()
	b.protected()
	b.stop()

	all := after(b.ledger.Entries(), first)
	if len(all) < 20 {
		t.Fatalf("%d commits to choose from, of %d", len(all), len(b.ledger.Entries()))
	}
	b.stands(b.ledger.Now())
	b.stands(b.ledger.AtTime(now))
	kinds := append(pgtest.Kinds, pgtest.ByName)
	t.Run("moments", func(t *testing.T) {
		for i := range times(12, 200) {
			m := b.ledger.Moment(kinds[i%len(kinds)], all[rand.IntN(len(all))])
			t.Run(m.Target, func(t *testing.T) {
				t.Parallel() // a restore mostly waits for its server
				b.in(t).stands(m)
			})
		}
	})
	b.check("--deep", "--key", b.path("backstay.key"))
}

// after leaves the entries that were made after a moment.
func after(all []pgtest.Entry, m pgtest.Moment) (later []pgtest.Entry) {
	for _, e := range all {
		if e.After != 0 && e.N > m.Most[e.Writer] {
			later = append(later, e)
		}
	}
	return later
}
