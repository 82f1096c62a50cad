//go:build unix

package failover_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/failover"
)

// counts says how often each transaction happened.
func (s *server) counts() map[string]int {
	s.t.Helper()
	conn, err := s.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	defer closeConn(conn)
	rows, err := conn.Query(s.t.Context(), "select id, count(*)::int from ledger group by id")
	if err != nil {
		s.t.Fatal(err)
	}
	all := map[string]int{}
	var id string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error { all[id] = n; return nil }); err != nil {
		s.t.Fatal(err)
	}
	return all
}

// Clients write while the primary is killed and its synchronous standby promoted: each transaction happened exactly
// once, but those whose outcome RunTx says that it does not know.
func TestEachTransactionHappensOnce(t *testing.T) {
	long(t)
	for _, marker := range markers {
		t.Run(named(marker), func(t *testing.T) {
			old := prepared(t, "")
			next := old.standby("next")
			old.exec("alter system set synchronous_standby_names = 'next'")
			old.exec("select pg_reload_conf()")
			db := open(t, all(old, next), failover.Config{Marker: marker})
			db.SetMaxIdleConns(20)
			type outcome struct {
				id   string
				runs int
				err  error
			}
			var outcomes sync.Map
			var stop atomic.Bool
			var all sync.WaitGroup
			for w := range 12 {
				all.Go(func() {
					for i := 0; !stop.Load(); i++ {
						id := fmt.Sprintf("%d-%d", w, i)
						runs, err := add(t, db, id, nil)
						outcomes.Store(id, outcome{id, runs, err})
					}
				})
			}
			time.Sleep(1500 * time.Millisecond)
			old.kill()
			time.Sleep(200 * time.Millisecond)
			next.promote()
			time.Sleep(2 * time.Second)
			stop.Store(true)
			all.Wait()
			times := next.counts()
			count, again, unknown := 0, 0, 0
			outcomes.Range(func(_, v any) bool {
				o := v.(outcome)
				count++
				n := times[o.id]
				_, doubt := errors.AsType[*failover.UnknownOutcomeError](o.err)
				switch {
				case doubt:
					unknown++
				case o.err != nil:
					t.Errorf("%s: %v", o.id, o.err)
				case n != 1:
					t.Errorf("%s happened %d times", o.id, n)
				}
				if o.runs > 1 {
					again++
				}
				return true
			})
			if again == 0 || unknown > 0 {
				t.Errorf("%d ran more than once, %d are unknown: the failover was not felt, or not resolved", again, unknown)
			}
			t.Logf("%d transactions, %d ran more than once", count, again)
		})
	}
}
