//go:build unix

package failover_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/failover"
)

// ledger has one row for each time that a transaction happened.
const ledger = "create table ledger (id text, at timestamptz default now())"

func open(t testing.TB, url string, c failover.Config) *sql.DB {
	t.Helper()
	db, err := failover.Open(url, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // servers may be gone
	return db
}

// add is one transaction: it adds a row. runs counts how often the function ran.
func add(t testing.TB, db *sql.DB, id string, o *failover.TxOptions) (runs int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	err = failover.RunTx(ctx, db, o, func(tx *sql.Tx) error {
		runs++
		_, err := tx.ExecContext(ctx, "insert into ledger (id) values ($1)", id)
		return err
	})
	return runs, err
}

func (s *server) times(id string) string {
	s.t.Helper()
	return s.ask("select count(*) from ledger where id = '" + id + "'")
}

// markers are the two ways to learn an outcome.
var markers = []string{"", "outcome"}

func named(marker string) string {
	if marker == "" {
		return "by number"
	}
	return "by marker"
}

func prepared(t testing.TB, settings string) *server {
	s := newServer(t, settings)
	s.exec(ledger)
	s.exec(failover.MarkerSQL("outcome", "postgres"))
	return s
}

func TestALostAnswerToCommitIsLearned(t *testing.T) {
	s := prepared(t, "")
	for _, marker := range markers {
		for _, c := range []struct {
			name string
			cut  func(forward func())
			runs int
		}{
			{"it never came to the server", func(func()) {}, 2},
			{"it came, its answer did not", func(forward func()) { forward(); time.Sleep(300 * time.Millisecond) }, 1},
			{"it came, and the client went at once", func(forward func()) { forward() }, 1},
		} {
			t.Run(c.name+", "+named(marker), func(t *testing.T) {
				g := newGate(t, s.address())
				db := open(t, g.url(), failover.Config{Marker: marker})
				g.onCommit(c.cut)
				id := strings.ReplaceAll(t.Name(), "'", "")
				runs, err := add(t, db, id, nil)
				if err != nil || runs != c.runs {
					t.Errorf("%d runs, %v; want %d", runs, err, c.runs)
				}
				if n := s.times(id); n != "1" {
					t.Errorf("it happened %s times", n)
				}
			})
		}
	}
}

// A primary that dies with a COMMIT: the standby has it or not. Afterwards others take the numbers that come next, so that
// a lost one is given again.
func TestAFailoverAroundCommit(t *testing.T) {
	long(t)
	for _, marker := range markers {
		for _, c := range []struct {
			name       string
			replicated bool
			runs       int
		}{
			{"the standby has it", true, 1},
			{"the standby does not", false, 2},
		} {
			t.Run(c.name+", "+named(marker), func(t *testing.T) {
				old := prepared(t, "")
				next := old.standby("next")
				g := newGate(t, old.address())
				db := open(t, g.url(), failover.Config{Marker: marker})
				if _, err := add(t, db, "before", nil); err != nil {
					t.Fatal(err)
				}
				g.onCommit(func(forward func()) {
					if !c.replicated {
						next.stop() // what is written from now on is lost
					}
					forward()
					time.Sleep(300 * time.Millisecond)
					old.kill()
					if !c.replicated {
						next.start()
					}
					next.promote()
					for i := range 30 {
						next.exec(fmt.Sprintf("insert into ledger (id) values ('stranger %d')", i))
					}
					g.lead(next.address())
				})
				runs, err := add(t, db, "it", nil)
				if err != nil || runs != c.runs {
					t.Errorf("%d runs, %v; want %d", runs, err, c.runs)
				}
				if n := next.times("it"); n != "1" {
					t.Errorf("it happened %s times", n)
				}
			})
		}
	}
}

func TestACrashAndARestartAroundCommit(t *testing.T) {
	long(t)
	for _, marker := range markers {
		t.Run(named(marker), func(t *testing.T) {
			// Nothing is flushed before the crash, so that the transaction is lost though COMMIT returned.
			s := prepared(t, "wal_writer_delay = 10s\n")
			g := newGate(t, s.address())
			db := open(t, g.url()+"&synchronous_commit=off", failover.Config{Marker: marker})
			g.onCommit(func(forward func()) {
				forward()
				time.Sleep(50 * time.Millisecond)
				s.kill()
				s.start()
				for i := range 10 {
					s.exec(fmt.Sprintf("insert into ledger (id) values ('stranger %d')", i))
				}
			})
			runs, err := add(t, db, "it", nil)
			if err != nil {
				t.Errorf("%d runs, %v", runs, err)
			}
			if n := s.times("it"); n != "1" {
				t.Errorf("it happened %s times in %d runs", n, runs)
			}
		})
	}
}

// After two promotions the number proves nothing any more, the marker does.
func TestTwoFailoversAroundCommit(t *testing.T) {
	long(t)
	for _, marker := range markers {
		t.Run(named(marker), func(t *testing.T) {
			old := prepared(t, "")
			second := old.standby("second")
			g := newGate(t, old.address())
			db := open(t, g.url(), failover.Config{Marker: marker})
			g.onCommit(func(forward func()) {
				forward()
				time.Sleep(300 * time.Millisecond)
				old.kill()
				second.promote()
				third := second.standby("third")
				time.Sleep(300 * time.Millisecond)
				second.kill()
				third.promote()
				g.lead(third.address())
			})
			_, err := add(t, db, "it", nil)
			unknown, ok := errors.AsType[*failover.UnknownOutcomeError](err)
			if marker != "" && err != nil {
				t.Error(err)
			}
			if marker == "" && (!ok || unknown.Transaction == 0) {
				t.Errorf("%v, want an unknown outcome with its number", err)
			}
		})
	}
}

func TestACommitThatNoStandbyConfirmed(t *testing.T) {
	long(t)
	s := prepared(t, "")
	standby := s.standby("s1")
	db := open(t, s.url(), failover.Config{})
	if _, err := add(t, db, "before", nil); err != nil {
		t.Fatal(err)
	}
	s.exec("alter system set synchronous_standby_names = 's1'")
	s.exec("select pg_reload_conf()")
	time.Sleep(300 * time.Millisecond)
	standby.stop()
	// Whoever waits for the standby is told to wait no longer, which makes COMMIT succeed with a warning.
	release := make(chan struct{})
	go func() {
		defer close(release)
		time.Sleep(500 * time.Millisecond)
		s.exec("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'")
	}()
	_, err := add(t, db, "alone", &failover.TxOptions{Wait: 2 * time.Second})
	<-release
	if _, ok := errors.AsType[*failover.UnreplicatedError](err); !ok {
		t.Errorf("without a standby: %v", err)
	}
	again := make(chan struct{})
	go func() {
		defer close(again)
		time.Sleep(500 * time.Millisecond)
		s.exec("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'")
		time.Sleep(500 * time.Millisecond)
		standby.start()
	}()
	if runs, err := add(t, db, "late", nil); err != nil || runs != 1 {
		t.Errorf("with a standby that comes back: %d runs, %v", runs, err)
	}
	<-again
	if n := standby.times("late"); n != "1" {
		t.Errorf("the standby has it %s times", n)
	}
}

func TestConflictsRunAgainAndMistakesDoNot(t *testing.T) {
	s := prepared(t, "")
	s.exec("create table counter (n int); insert into counter values (0)")
	db := open(t, s.url(), failover.Config{})
	serializable := &failover.TxOptions{TxOptions: sql.TxOptions{Isolation: sql.LevelSerializable}, Attempts: 200}
	const workers, each = 4, 25
	done := make(chan error, workers)
	for range workers {
		go func() {
			for range each {
				err := failover.RunTx(t.Context(), db, serializable, func(tx *sql.Tx) error {
					var n int
					if err := tx.QueryRow("select n from counter").Scan(&n); err != nil {
						return err
					}
					_, err := tx.Exec("update counter set n = $1", n+1)
					return err
				})
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := s.ask("select n from counter"); n != fmt.Sprint(workers*each) {
		t.Errorf("counted to %s, want %d", n, workers*each)
	}
	runs := 0
	err := failover.RunTx(t.Context(), db, nil, func(tx *sql.Tx) error {
		runs++
		_, err := tx.Exec("insert into nowhere values (1)")
		return err
	})
	var mistake *pgconn.PgError
	if !errors.As(err, &mistake) || mistake.Code != "42P01" || runs != 1 {
		t.Errorf("a mistake: %d runs, %v", runs, err)
	}
}
