package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/proxy/postgres"
	"github.com/backstaydb/backstay/internal/route"
)

// app is the role of the clients.
const app = "app"

// world is a primary, perhaps a standby, and a proxy to them.
type world struct {
	t        testing.TB
	primary  *pgtest.Cluster
	table    *proxy.Table
	listener *proxy.Listener
	address  string
	epoch    uint64
	version  uint64
}

// options of a world; zero is a listener to the primary that ends SCRAM.
type options struct {
	proxy.Config
	carrier postgres.Config
	through bool // logins pass through
	short   bool // it is tested with -short too
}

func newWorld(t testing.TB, o options) *world {
	t.Helper()
	if testing.Short() && !o.short {
		t.Skip("with servers: not with -short")
	}
	w := &world{t: t, primary: pgtest.New(t, pgtest.Options{Settings: map[string]string{"max_connections": "150", "wal_level": "replica"}}), table: proxy.NewTable()}
	w.primary.Exec(t, fmt.Sprintf("create role %s login password '%s'", app, pgtest.Password), "grant create on schema public to public")
	w.listener = proxy.NewListener(w.table, o.Config)
	if !o.through {
		o.carrier.Verifiers = w.verifiers(w.primary)
	}
	w.address = w.serve(w.listener, o.carrier)
	return w
}

// serve starts a listener with a carrier, for as long as the test runs.
func (w *world) serve(l *proxy.Listener, c postgres.Config) string {
	w.t.Helper()
	from, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	carrier := postgres.New(l, c)
	ended := make(chan error, 2)
	go func() { ended <- carrier.Run(ctx) }()
	go func() { ended <- l.Serve(ctx, from, carrier) }()
	w.t.Cleanup(func() {
		cancel()
		for range 2 {
			select {
			case err := <-ended:
				if err != nil {
					w.t.Error(err)
				}
			case <-time.After(10 * time.Second):
				w.t.Error("the proxy did not end")
			}
		}
	})
	return from.Addr().String()
}

// verifiers reads them once, as a proxy that keeps them does.
func (w *world) verifiers(c *pgtest.Cluster) postgres.Verifiers {
	kept := map[string]string{}
	for _, role := range []string{app, pgtest.Admin} {
		kept[role] = c.Ask(w.t, "select rolpassword from pg_authid where rolname = $1", role)
	}
	return func(_ context.Context, role string) (string, error) { return kept[role], nil }
}

func address(c *pgtest.Cluster) string { return fmt.Sprintf("127.0.0.1:%d", c.Port) }

// apply applies a route that was asked for now.
func (w *world) apply(r route.Route) {
	w.t.Helper()
	w.version++
	r.Version = w.version
	if err := w.table.Apply(proxy.Now(), r); err != nil {
		w.t.Fatal(err)
	}
}

// serving makes c the primary of the next epoch.
func (w *world) serving(c *pgtest.Cluster) {
	w.t.Helper()
	w.epoch++
	w.apply(route.Route{Epoch: w.epoch, State: route.Serving, Primary: "db", Address: address(c), For: time.Hour})
}

func (w *world) url(role string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/postgres?sslmode=disable", role, strings.ReplaceAll(pgtest.Password, " ", "%20"), w.address)
}

func (w *world) connect() *pgx.Conn {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, w.url(app))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // it may be closed
	})
	return conn
}

// ask gives the one value of a query as text.
func ask(t testing.TB, conn *pgx.Conn, query string, arguments ...any) string {
	t.Helper()
	var s string
	if err := conn.QueryRow(t.Context(), query, arguments...).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return s
}

func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

// eventually waits for something that takes no long time.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 10s: %s", what)
		}
	}
}
