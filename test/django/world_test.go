// Package django runs the example project of docs/guide/django, with Debian's Django and psycopg2, behind a real proxy and
// two real PostgreSQL servers, and changes the primary under it.
package django

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/proxy/postgres"
	"github.com/backstaydb/backstay/internal/route"
)

// app is the role of the project.
const app = "app"

// world is two servers, and listeners that lead to them as the route says.
type world struct {
	t         *testing.T
	primary   *pgtest.Cluster
	standby   *pgtest.Cluster
	table     *proxy.Table
	rw, ro    *proxy.Listener
	addresses [2]string // of rw and ro
	epoch     uint64
	version   uint64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, table: proxy.NewTable()}
	w.primary = pgtest.New(t, pgtest.Options{})
	w.primary.Exec(t, fmt.Sprintf("create role %s login password '%s'", app, pgtest.Password), "grant create on schema public to public")
	w.standby = w.primary.Standby(t, "db2")
	w.primary.Exec(t, "alter system set synchronous_standby_names = 'db2'", "select pg_reload_conf()")
	verifier := w.primary.Ask(t, "select rolpassword from pg_authid where rolname = $1", app)
	carrier := postgres.Config{
		Verifiers: func(context.Context, string) (string, error) { return verifier, nil },
		Ask:       200 * time.Millisecond,
	}
	w.rw, w.ro = proxy.NewListener(w.table, proxy.Config{}), proxy.NewListener(w.table, proxy.Config{Role: proxy.Read})
	for i, l := range []*proxy.Listener{w.rw, w.ro} {
		w.addresses[i] = w.serve(l, carrier)
	}
	w.serving(w.primary, "db1", route.Replica{Member: "db2", Address: address(w.standby)})
	return w
}

// serve runs a listener as long as the test.
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
			if err := <-ended; err != nil {
				w.t.Error(err)
			}
		}
	})
	return from.Addr().String()
}

func address(c *pgtest.Cluster) string { return fmt.Sprintf("127.0.0.1:%d", c.Port) }

func (w *world) apply(r route.Route) {
	w.t.Helper()
	w.version++
	r.Epoch, r.Version, r.For = w.epoch, w.version, time.Hour
	if err := w.table.Apply(proxy.Now(), r); err != nil {
		w.t.Fatal(err)
	}
}

// serving makes c the primary of the next epoch.
func (w *world) serving(c *pgtest.Cluster, name string, replicas ...route.Replica) {
	w.t.Helper()
	w.epoch++
	w.apply(route.Route{State: route.Serving, Primary: name, Address: address(c), Replicas: replicas})
}

// switchover moves the primary's place to the standby in order, as the keeper does.
func (w *world) switchover() {
	w.t.Helper()
	ahead := route.Route{State: route.Holding, Primary: "db1", Address: address(w.primary), Moving: "db2", Target: address(w.standby),
		Replicas: []route.Replica{{Member: "db2", Address: address(w.standby)}}}
	w.apply(ahead)
	for deadline := time.Now().Add(10 * time.Second); !w.table.Ack(route.ID{}).Drained; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("transactions do not end")
		}
	}
	w.standby.CatchUp(w.t)
	w.close("db2")
	w.standby.Promote(w.t)
	w.open()
	w.primary.Stop(w.t)
}

// close takes the route away and waits until nothing passes any more.
func (w *world) close(moving string) {
	w.t.Helper()
	w.epoch++
	r := route.Route{State: route.Closed, Moving: moving}
	if moving != "" {
		r.Target = address(w.standby)
	}
	w.apply(r)
	if err := w.table.Closed(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// open leads to the new primary, which waits for no standby, as there is none.
func (w *world) open() {
	w.t.Helper()
	w.standby.Exec(w.t, "alter system set synchronous_standby_names = ''", "select pg_reload_conf()")
	w.apply(route.Route{State: route.Serving, Primary: "db2", Address: address(w.standby)})
}

// failover follows the death of the primary, which is noticed a while later.
func (w *world) failover() {
	w.t.Helper()
	w.primary.Crash(w.t)
	time.Sleep(500 * time.Millisecond)
	w.close("")
	w.standby.Promote(w.t)
	w.open()
}
