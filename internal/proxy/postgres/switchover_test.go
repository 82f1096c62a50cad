package postgres_test

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/route"
)

// switchover moves the place of the primary to c, as those who decide do, and gives how long nothing could begin.
func (w *world) switchover(c *pgtest.Cluster) time.Duration {
	w.t.Helper()
	ahead := route.Route{Moving: "next", Target: address(c), For: time.Hour}
	hold := ahead
	hold.Epoch, hold.State, hold.Address = w.epoch, route.Holding, address(w.primary)
	began := time.Now()
	w.apply(hold)
	eventually(w.t, "all transactions have ended", func() bool { return w.table.Ack(route.ID{}).Drained })
	c.CatchUp(w.t)
	w.epoch++
	closed := ahead
	closed.Epoch, closed.State = w.epoch, route.Closed
	w.apply(closed)
	if err := w.table.Closed(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if ack := w.table.Ack(route.ID{}); !ack.Closed || ack.Epoch != w.epoch {
		w.t.Errorf("ack %+v", ack)
	}
	c.Promote(w.t)
	w.apply(route.Route{Epoch: w.epoch, State: route.Serving, Primary: "next", Address: address(c), For: time.Hour})
	return time.Since(began)
}

func TestASwitchoverFailsNoTransaction(t *testing.T) {
	w := newWorld(t, options{})
	standby := w.primary.Standby(t, "s1")
	w.serving(w.primary)
	host, port, _ := net.SplitHostPort(w.address)
	pgbench := func(arguments ...string) *exec.Cmd {
		cmd := exec.Command(w.primary.Programs.Dir+"/pgbench", append([]string{"-h", host, "-p", port, "-U", app}, append(arguments, "postgres")...)...)
		cmd.Env = append(cmd.Environ(), "PGPASSWORD="+pgtest.Password)
		return cmd
	}
	if out, err := pgbench("-i", "-q", "-s", "2").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const idle = 50
	var sessions []*pgx.Conn
	for i := range idle {
		conn := w.connect()
		if _, err := conn.Exec(t.Context(), fmt.Sprintf("set application_name = 'idle %d'", i)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Prepare(t.Context(), "who", "select current_setting('application_name') || $1::text"); err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, conn)
	}
	var out [2]bytes.Buffer
	var runs []*exec.Cmd
	for i, mode := range []string{"prepared", "simple"} {
		cmd := pgbench("-n", "-c", "4", "-j", "1", "-T", "6", "-M", mode)
		cmd.Stdout, cmd.Stderr = &out[i], &out[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, cmd)
	}
	time.Sleep(2 * time.Second)
	pause := w.switchover(standby)
	t.Logf("nothing could begin for %s", pause)
	total := 0
	for i, cmd := range runs {
		if err := cmd.Wait(); err != nil || !strings.Contains(out[i].String(), "number of failed transactions: 0 (0.000%)") || strings.Contains(out[i].String(), "aborted") {
			t.Errorf("%v: %s", err, &out[i])
		}
		var n int
		_, line, _ := strings.Cut(out[i].String(), "actually processed: ")
		if _, err := fmt.Sscan(line, &n); err != nil {
			t.Error(err)
		}
		total += n
	}
	for i, conn := range sessions {
		if got, want := ask(t, conn, "who", "!"), fmt.Sprintf("idle %d!", i); got != want {
			t.Errorf("session %d: %q, want %q", i, got, want)
		}
	}
	if got := standby.Ask(t, "select count(*) from pgbench_history"); got != fmt.Sprint(total) {
		t.Errorf("%s transactions are in the new primary, clients saw %d", got, total)
	}
	if n := w.listener.Snapshot(); n.Moved != idle+8 || n.Unmoved+n.Severed+n.Unknown+n.Expired != 0 {
		t.Errorf("counts %+v", n)
	}
}

func TestASwitchoverGivenUpDisturbsNobody(t *testing.T) {
	w := newWorld(t, options{})
	w.serving(w.primary)
	conn := w.connect()
	if _, err := conn.Exec(t.Context(), "create temporary table mine as select 1 as i"); err != nil {
		t.Fatal(err)
	}
	w.apply(route.Route{Epoch: w.epoch, State: route.Holding, Address: address(w.primary), For: time.Hour})
	eventually(t, "the session was asked", func() bool { return w.listener.Asked.Load() == 1 })
	w.apply(route.Route{Epoch: w.epoch, State: route.Serving, Address: address(w.primary), For: time.Hour})
	if got := ask(t, conn, "select i::text from mine"); got != "1" {
		t.Errorf("answer %q", got)
	}
}

// holds are what sessions may hold, and what becomes of them when the epoch changes while they are idle.
var holds = []struct {
	name string
	sql  []string
	arg  string
	ask  string // after the move; "" if the session must have been closed
	want string
}{
	{name: "nothing", ask: "select 'x'", want: "x"},
	{name: "a setting", sql: []string{"set statement_timeout = '77s'"}, ask: "show statement_timeout", want: "77s"},
	{name: "a path with quotes", sql: []string{`set search_path = "it's", public`}, ask: "show search_path", want: `"it's", public`},
	{name: "a role", sql: []string{"set role reader"}, ask: "select current_user::text", want: "reader"},
	{name: "a setting of its own", sql: []string{"select set_config('app.tenant', 'green', false)"}, ask: "select current_setting('app.tenant')", want: "green"},
	{name: "a setting that a function made", sql: []string{"select tenant('blue')"}, ask: "select current_setting('app.hidden')", want: "blue"},
	{name: "a temporary table that is gone", sql: []string{"create temporary table x(i int)", "drop table x"}, ask: "select 'x'", want: "x"},
	{name: "a temporary table", sql: []string{"create temporary table x(i int)"}},
	{name: "a temporary table that a function made", sql: []string{"select scratchpad()"}},
	{name: "a lock that a function took", sql: []string{"select guard()"}},
	{name: "notifications", sql: []string{"listen news"}},
	{name: "a cursor", sql: []string{"begin", "declare c cursor with hold for select 1", "commit"}},
	{name: "PREPARE", sql: []string{"prepare p as select 1"}},
	{name: "a setting whose name is not seen", sql: []string{"select set_config($1, 'x', false)"}, arg: "app.other"},
	{name: "a sequence", sql: []string{"select nextval('counter')", "select currval('counter')"}},
	{name: "another authorization", sql: []string{"set session authorization app"}, ask: "select session_user::text", want: "app"},
}

func TestWhatASessionHoldsDecides(t *testing.T) {
	w := newWorld(t, options{short: true})
	w.primary.Exec(t, "create role reader", "grant reader to app", "create sequence counter", "grant all on sequence counter to app",
		"create function tenant(text) returns void language sql as $$ select set_config('app.hidden', $1, false) $$",
		"create function scratchpad() returns void language plpgsql as $$ begin create temporary table pad(i int); end $$",
		"create function guard() returns void language plpgsql as $$ begin perform pg_advisory_lock(7); end $$")
	w.serving(w.primary)
	conns := make([]*pgx.Conn, len(holds))
	for i, h := range holds {
		conns[i] = w.connect()
		for _, sql := range h.sql {
			var arguments []any
			if strings.Contains(sql, "$1") {
				arguments = append(arguments, h.arg)
			}
			if _, err := conns[i].Exec(t.Context(), sql, arguments...); err != nil {
				t.Fatalf("%s: %v", h.name, err)
			}
		}
	}
	w.apply(route.Route{Epoch: w.epoch, State: route.Holding, Address: address(w.primary), For: time.Hour})
	eventually(t, "all were asked", func() bool { return w.listener.Asked.Load() == int64(len(holds)-2) }) // two are known without
	time.Sleep(500 * time.Millisecond)
	w.epoch++
	w.apply(route.Route{Epoch: w.epoch, State: route.Closed})
	if err := w.table.Closed(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.apply(route.Route{Epoch: w.epoch, State: route.Serving, Address: address(w.primary), For: time.Hour})
	for i, h := range holds {
		var got string
		query := h.ask
		if query == "" {
			query = "select 'open'"
		}
		err := conns[i].QueryRow(t.Context(), query, pgx.QueryExecModeExec).Scan(&got)
		switch {
		case h.ask == "" && code(err) != "57P01":
			t.Errorf("%s: %q, %v; want 57P01", h.name, got, err)
		case h.ask != "" && (err != nil || got != h.want):
			t.Errorf("%s: %q, %v; want %q", h.name, got, err, h.want)
		}
	}
}

func TestWhatIsOpenIsClosedAtOnce(t *testing.T) {
	w := newWorld(t, options{})
	w.primary.Exec(t, "create table slow(i int)", "grant all on slow to app",
		"create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(20); return null; end $$",
		"create constraint trigger late after insert on slow deferrable initially deferred for each row execute function wait()")
	for _, c := range []struct {
		name   string
		before []string
		last   string // under way when it is closed; "" for nothing
		code   string
	}{
		{"a transaction that waits for its client", []string{"begin", "insert into slow values (1)"}, "", "57P01"},
		{"a statement in a transaction", []string{"begin"}, "select pg_sleep(20)", "57P01"},
		{"a COMMIT", []string{"begin", "insert into slow values (1)"}, "commit", "08007"},
		{"a COMMIT behind a comment", []string{"begin", "insert into slow values (1)"}, "/* ; */ commit", "08007"},
		{"a statement by itself", nil, "select pg_sleep(20)", "08007"},
	} {
		for _, how := range []string{"closed", "expired"} {
			t.Run(c.name+", "+how, func(t *testing.T) {
				w.serving(w.primary)
				conn := w.connect()
				for _, sql := range c.before {
					if _, err := conn.Exec(t.Context(), sql); err != nil {
						t.Fatal(err)
					}
				}
				result := make(chan error, 1)
				last := func() {
					_, err := conn.Exec(t.Context(), c.last)
					result <- err
				}
				if c.last != "" {
					go last()
					eventually(t, "the last statement runs", func() bool {
						return w.primary.Ask(t, "select count(*) from pg_stat_activity where usename = 'app' and state = 'active'") == "1"
					})
				}
				if how == "closed" {
					w.epoch++
					w.apply(route.Route{Epoch: w.epoch, State: route.Closed})
				} else { // a renewal never shortens a lease, so a new epoch has a short one
					w.epoch++
					w.apply(route.Route{Epoch: w.epoch, State: route.Serving, Address: address(w.primary)})
				}
				if err := w.table.Closed(t.Context()); err != nil {
					t.Fatal(err)
				}
				if c.last == "" {
					_, err := conn.Exec(t.Context(), "select 1")
					result <- err
				}
				if err := <-result; code(err) != c.code {
					t.Errorf("%v, want %s", err, c.code)
				}
				eventually(t, "the server's session is gone or knows that its client is", func() bool {
					w.primary.Exec(t, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
					return w.primary.Ask(t, "select count(*) from pg_stat_activity where usename = 'app'") == "0"
				})
			})
		}
	}
}

func TestARouteThatNobodyRenewsStopsWrites(t *testing.T) {
	w := newWorld(t, options{})
	w.epoch++
	short := route.Route{Epoch: w.epoch, State: route.Serving, Address: address(w.primary), For: 700 * time.Millisecond}
	w.apply(short)
	idle, open := w.connect(), w.connect()
	if _, err := open.Exec(t.Context(), "begin"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the route is over", func() bool { return w.table.View().Expired() })
	if _, err := open.Exec(t.Context(), "select 1"); code(err) != "57P01" {
		t.Errorf("in a transaction: %v, want 57P01", err)
	}
	answered := make(chan string)
	go func() { answered <- ask(t, idle, "select 'here'") }()
	select {
	case got := <-answered:
		t.Errorf("answer %q without a route", got)
	case <-time.After(300 * time.Millisecond):
	}
	w.apply(short)
	if got := <-answered; got != "here" {
		t.Errorf("answer %q", got)
	}
}

func TestSessionsThatWereAskedSurviveTheDeathOfThePrimary(t *testing.T) {
	o := options{}
	o.carrier.Ask = 50 * time.Millisecond
	w := newWorld(t, o)
	standby := w.primary.Standby(t, "s1")
	w.serving(w.primary)
	conn := w.connect()
	if _, err := conn.Exec(t.Context(), "set work_mem = '6MB'"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session was asked", func() bool { return w.listener.Asked.Load() == 1 })
	time.Sleep(300 * time.Millisecond)
	standby.CatchUp(t)
	w.primary.Crash(t)
	answered := make(chan string)
	go func() { answered <- ask(t, conn, "show work_mem") }()
	eventually(t, "the client waits", func() bool { return w.listener.Held.Load() == 1 })
	w.epoch++
	w.apply(route.Route{Epoch: w.epoch, State: route.Closed})
	standby.Promote(t)
	w.apply(route.Route{Epoch: w.epoch, State: route.Serving, Address: address(standby), For: time.Hour})
	if got := <-answered; got != "6MB" {
		t.Errorf("answer %q", got)
	}
}

func TestWaitingIsBounded(t *testing.T) {
	w := newWorld(t, options{Config: proxy.Config{Wait: 300 * time.Millisecond, Waiting: 1}})
	w.serving(w.primary)
	idle := w.connect()
	w.epoch++
	w.apply(route.Route{Epoch: w.epoch, State: route.Holding, Address: address(w.primary), For: time.Hour})
	if _, err := idle.Exec(t.Context(), "select 1"); code(err) != "08006" && code(err) != "57P01" {
		t.Errorf("an idle session: %v", err)
	}
	first := make(chan error)
	go func() {
		_, err := pgx.Connect(t.Context(), w.url(app))
		first <- err
	}()
	eventually(t, "one waits", func() bool { return w.listener.Held.Load() == 1 })
	if _, err := pgx.Connect(t.Context(), w.url(app)); code(err) != "53300" {
		t.Errorf("one more than may wait: %v", err)
	}
	if err := <-first; code(err) != "57P03" {
		t.Errorf("waited for too long: %v", err)
	}
}
