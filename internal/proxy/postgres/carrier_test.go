package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/route"
)

func TestSessionsReachThePrimary(t *testing.T) {
	for name, o := range map[string]options{"with SCRAM ended by the proxy": {}, "with the login passed through": {through: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, o)
			w.serving(w.primary)
			conn := w.connect()
			if got := ask(t, conn, "select $1::int + 1 || current_user", 41); got != "42app" {
				t.Errorf("answer %q", got)
			}
			if _, err := pgx.Connect(t.Context(), w.url("app")+"&password=wrong"); code(err) != "28P01" {
				t.Errorf("wrong password: %v", err)
			}
			if _, err := pgx.Connect(t.Context(), w.url("nobody")); code(err) != "28P01" {
				t.Errorf("no such role: %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			began := time.Now()
			if _, err := conn.Exec(ctx, "select pg_sleep(20)"); err == nil || time.Since(began) > 5*time.Second {
				t.Errorf("cancel: %v after %s", err, time.Since(began))
			}
			eventually(t, "the request to cancel was passed on", func() bool { return w.listener.Cancels.Load() == 1 })
		})
	}
}

func TestNewSessionsWaitForAPrimary(t *testing.T) {
	w := newWorld(t, options{})
	got := make(chan *pgx.Conn)
	go func() { got <- w.connect() }()
	eventually(t, "one waits", func() bool { return w.listener.Held.Load() == 1 })
	w.serving(w.primary)
	if conn := <-got; conn == nil || ask(t, conn, "select 'here'") != "here" {
		t.Error("no answer")
	}
}

func TestIdleSessionsMove(t *testing.T) {
	w := newWorld(t, options{})
	standby := w.primary.Standby(t, "s1")
	w.serving(w.primary)
	conn := w.connect()
	for _, sql := range []string{"create table t(i int)", "set work_mem = '5MB'", "select set_config('app.tenant', 'green', false)", "set application_name = 'shop'"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Prepare(t.Context(), "add", "insert into t values ($1) returning i::text"); err != nil {
		t.Fatal(err)
	}
	ask(t, conn, "add", 1)
	server := ask(t, conn, "select inet_server_port()::text")

	w.apply(route.Route{Epoch: w.epoch, State: route.Holding, Primary: "db", Address: address(w.primary), Moving: "s1", Target: address(standby), For: time.Hour})
	answered := make(chan string)
	go func() { answered <- ask(t, conn, "add", 2) }()
	eventually(t, "the proxy is drained", func() bool { return w.table.Ack(route.ID{}).Drained })
	eventually(t, "the session was asked", func() bool { return w.listener.Asked.Load() == 1 })
	standby.CatchUp(t)
	w.epoch++
	w.apply(route.Route{Epoch: w.epoch, State: route.Closed, Moving: "s1", Target: address(standby)})
	if err := w.table.Closed(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.primary.Stop(t)
	standby.Promote(t)
	w.apply(route.Route{Epoch: w.epoch, State: route.Serving, Primary: "s1", Address: address(standby), For: time.Hour})
	if got := <-answered; got != "2" {
		t.Errorf("answer %q", got)
	}
	if now := ask(t, conn, "select inet_server_port()::text"); now == server {
		t.Errorf("still at port %s", now)
	}
	for query, want := range map[string]string{
		"select count(*)::text from t":               "2",
		"show work_mem":                              "5MB",
		"select current_setting('app.tenant')":       "green",
		"show application_name":                      "shop",
		"select pg_is_in_recovery()::text":           "false",
		"select current_user || '/' || session_user": "app/app",
	} {
		if got := ask(t, conn, query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if n := w.listener.Snapshot(); n.Moved != 1 || n.Unmoved+n.Severed+n.Unknown != 0 {
		t.Errorf("counts %+v", n)
	}
	_ = pgtest.Admin
}
