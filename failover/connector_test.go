//go:build unix

package failover_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backstaydb/backstay/failover"
)

// all is the URL of several servers.
func all(list ...*server) string {
	var addresses []string
	for _, s := range list {
		addresses = append(addresses, s.address())
	}
	return "postgres://postgres@" + strings.Join(addresses, ",") + "/postgres?sslmode=disable"
}

// fill opens n sessions and puts them back.
func fill(t testing.TB, db *sql.DB, n int) {
	t.Helper()
	db.SetMaxIdleConns(n)
	var conns []*sql.Conn
	for range n {
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func port(t testing.TB, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "select inet_server_port()").Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

// A pool full of idle sessions, and the death of their server: nobody sees an error, though nothing is run again.
func TestAFailoverEmptiesThePoolWithoutAnError(t *testing.T) {
	old := prepared(t, "")
	next := old.standby("next")
	var changed atomic.Int64
	db := open(t, all(next, old), failover.Config{Changed: func(failover.Epoch) { changed.Add(1) }})
	db.SetMaxOpenConns(8)
	fill(t, db, 8)
	old.kill()
	promoted := make(chan struct{})
	go func() {
		defer close(promoted)
		time.Sleep(time.Second)
		next.promote()
	}()
	began := time.Now()
	for range 8 {
		if got := port(t, db); got != next.port {
			t.Errorf("port %d answered, want %d", got, next.port)
		}
	}
	<-promoted
	t.Logf("queries waited for %s, of which the promotion took 1s", time.Since(began))
	if changed.Load() != 1 {
		t.Errorf("the epoch changed %d times", changed.Load())
	}
	// The old one comes back, and may be written to; but its time is over.
	old.start()
	fill(t, db, 8)
	next.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err := db.PingContext(ctx)
	none, ok := errors.AsType[*failover.NoPrimaryError](err)
	if !ok || !strings.Contains(fmt.Sprint(none.Causes[old.address()]), "primary of the past") {
		t.Errorf("with the old primary alone: %v", err)
	}
}

// A primary that is cut off keeps its sessions hanging: as soon as anybody sees the next epoch, they end.
func TestSessionsAtAPrimaryOfThePastEnd(t *testing.T) {
	long(t)
	old := prepared(t, "")
	next := old.standby("next")
	db := open(t, all(old, next), failover.Config{})
	hanging := make(chan error, 1)
	go func() {
		_, err := db.ExecContext(t.Context(), "select pg_sleep(60)")
		hanging <- err
	}()
	for old.ask("select count(*) from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()") != "1" {
		time.Sleep(10 * time.Millisecond)
	}
	next.promote() // and nobody fences the old one
	old.exec("alter system set default_transaction_read_only = on; ")
	old.exec("select pg_reload_conf()")
	time.Sleep(1200 * time.Millisecond) // longer than an idle session is trusted
	if got := port(t, db); got != next.port {
		t.Errorf("port %d answered, want %d", got, next.port)
	}
	select {
	case err := <-hanging:
		if failover.Classify(err) != failover.Lost {
			t.Errorf("%v is %v", err, failover.Classify(err))
		}
	case <-time.After(5 * time.Second):
		t.Error("the session at the old primary goes on")
	}
}

func TestTheLatestOfTwoPrimariesIsChosen(t *testing.T) {
	long(t)
	old := prepared(t, "")
	next := old.standby("next")
	next.promote()
	for range 5 {
		db := open(t, all(old, next), failover.Config{})
		if got := port(t, db); got != next.port {
			t.Errorf("port %d answered, want %d", got, next.port)
		}
	}
}

func TestWaitingForAPrimaryIsBounded(t *testing.T) {
	long(t)
	primary := prepared(t, "")
	standby := primary.standby("s1")
	primary.stop()
	db := open(t, all(primary, standby), failover.Config{Wait: time.Second})
	began := time.Now()
	err := db.PingContext(t.Context())
	none, ok := errors.AsType[*failover.NoPrimaryError](err)
	if took := time.Since(began); !ok || took < 900*time.Millisecond || took > 3*time.Second {
		t.Fatalf("%v after %s", err, took)
	}
	if got := fmt.Sprint(none.Causes[standby.address()]); got != "it is a standby" {
		t.Errorf("cause %q", got)
	}
	if failover.Classify(none.Causes[primary.address()]) != failover.Unreachable {
		t.Errorf("cause %v", none.Causes[primary.address()])
	}
}

func TestAWrongNameIsNoReasonToWait(t *testing.T) {
	s := prepared(t, "")
	db := open(t, strings.Replace(s.url(), "/postgres?", "/nowhere?", 1), failover.Config{})
	began := time.Now()
	if err := db.PingContext(t.Context()); err == nil || !strings.Contains(err.Error(), "3D000") || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

// A statement whose answer is lost may have happened, so that nobody may run it again but who knows that it may.
func TestAStatementThatWasSentIsNotRunTwice(t *testing.T) {
	s := prepared(t, "")
	g := newGate(t, s.address())
	db := open(t, g.url(), failover.Config{})
	const statement = "insert into ledger (id) values ('twice')"
	g.on(statement, func(forward func()) {
		forward()
		time.Sleep(300 * time.Millisecond)
	})
	if _, err := db.ExecContext(t.Context(), statement); failover.Classify(err) != failover.Lost {
		t.Errorf("%v is %v", err, failover.Classify(err))
	}
	if n := s.times("twice"); n != "1" {
		t.Errorf("it happened %s times", n)
	}
}
