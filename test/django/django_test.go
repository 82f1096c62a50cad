package django

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// lost are accepted orders that are not in the database exactly once.
func (v *visitors) lost(c *pgtest.Cluster) (all []string) {
	v.t.Helper()
	conn := c.Connect(v.t)
	for _, number := range v.accepted {
		var n int
		if err := conn.QueryRow(v.t.Context(), "select count(*) from orders_order where number = $1", number).Scan(&n); err != nil {
			v.t.Fatal(err)
		}
		if n != 1 {
			all = append(all, fmt.Sprintf("%s: %d times", number, n))
		}
	}
	return all
}

// twice are orders that are there more than once, accepted or not.
func twice(t *testing.T, c *pgtest.Cluster) string {
	t.Helper()
	return c.Ask(t, "select count(*) from (select 1 from orders_order group by number having count(*) > 1) as x")
}

func (v *visitors) judge(c *pgtest.Cluster) {
	v.t.Helper()
	if lost := v.lost(c); len(lost) > 0 {
		v.t.Errorf("%d of %d orders that were accepted are not there once: %v", len(lost), len(v.accepted), lost[:min(3, len(lost))])
	}
	if n := twice(v.t, c); n != "0" {
		v.t.Errorf("%s orders are there twice", n)
	}
	if len(v.accepted) < 100 {
		v.t.Errorf("only %d orders", len(v.accepted))
	}
	v.t.Logf("%d requests, %d failed %v, the longest took %s; %d orders accepted, %d reads from a replica",
		v.requests, v.failures(), v.failed, v.longest.Round(time.Millisecond), len(v.accepted), v.replicas)
}

func TestASwitchoverFailsNoRequest(t *testing.T) {
	need(t)
	w := newWorld(t)
	v := behind(t, w).visit(t, workers)
	settled()
	w.switchover()
	settled()
	v.leave()
	v.judge(w.standby)
	if v.failures() > 0 {
		t.Errorf("requests failed: %v", v.failed)
	}
	if v.replicas == 0 {
		t.Error("no read came from a replica")
	}
	if n := w.rw.Snapshot(); n.Moved == 0 || n.Unmoved > 0 {
		t.Errorf("sessions at rw: %+v", n)
	}
}

func TestAFailoverLosesNothingThatWasAccepted(t *testing.T) {
	need(t)
	if testing.Short() {
		t.Skip("one world with -short")
	}
	w := newWorld(t)
	v := behind(t, w).visit(t, workers)
	settled()
	w.failover()
	settled()
	v.leave()
	v.judge(w.standby)
	// Only what was under way at the primary when it died may fail: one request for each worker.
	if v.failures() > workers {
		t.Errorf("%d requests failed: %v", v.failures(), v.failed)
	}
	if v.longest < 500*time.Millisecond {
		t.Errorf("no request waited for the new primary: the longest took %s", v.longest)
	}
}

// The simple shape: Django asks where the primary is, and connects to it itself.
func TestTheSimpleShapeFindsThePrimary(t *testing.T) {
	need(t)
	if testing.Short() {
		t.Skip("one world with -short")
	}
	w := newWorld(t)
	mux := http.NewServeMux()
	mux.Handle("GET /primary", w.rw.Health())
	health := httptest.NewServer(mux)
	defer health.Close()
	p := newProject(t, "DJANGO_SETTINGS_MODULE=shop.settings_simple", "SHOP_SERVERS="+address(w.primary)+","+address(w.standby),
		"SHOP_MEMBERS=db1,db2", "SHOP_HEALTH="+health.URL)
	v := p.visit(t, workers)
	settled()
	w.failover()
	settled()
	v.leave()
	v.judge(w.standby)
	after := p.visit(t, 1)
	settled()
	after.leave()
	if after.failures() > 0 || len(after.accepted) == 0 {
		t.Errorf("after the failover: %d orders, %v", len(after.accepted), after.failed)
	}
}
