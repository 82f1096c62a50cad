package django

import (
	"fmt"
	"strings"
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
	v.t.Logf("%d requests, %d failed %v, the longest took %s; %d orders accepted, %d reads from a replica",
		v.requests, v.failures(), v.failed, v.longest.Round(time.Millisecond), len(v.accepted), v.replicas)
}

func TestASwitchoverFailsNoRequest(t *testing.T) {
	need(t)
	w := newWorld(t, true)
	v := behind(t, w).visit(t, workers)
	settled()
	w.whole()
	primary := w.switchover("db2")
	settled()
	v.enough()
	v.leave()
	v.judge(primary)
	if v.failures() > 0 {
		t.Errorf("requests failed: %v", v.failed)
	}
	if v.replicas == 0 {
		t.Error("no read came from a replica")
	}
	if rw := w.status().Listeners[0]; rw.Moved == 0 || rw.Unmoved > 0 {
		t.Errorf("sessions at rw: %+v", rw)
	}
}

func TestAFailoverLosesNothingThatWasAccepted(t *testing.T) {
	need(t)
	if testing.Short() {
		t.Skip("one world with -short")
	}
	w := newWorld(t, true)
	v := behind(t, w).visit(t, workers)
	settled()
	w.whole()
	primary := w.failover()
	settled()
	v.enough()
	v.leave()
	v.judge(primary)
	// Only what was under way at the primary when it died may fail: one request for each worker.
	if v.failures() > workers {
		t.Errorf("%d requests failed: %v", v.failures(), v.failed)
	}
}

// The simple shape: Django asks where the primary is, and connects to it itself. No listener is in the path, and none is there.
func TestTheSimpleShapeFindsThePrimary(t *testing.T) {
	need(t)
	if testing.Short() {
		t.Skip("one world with -short")
	}
	w := newWorld(t, false)
	var servers, names []string
	for i, s := range w.servers {
		servers, names = append(servers, fmt.Sprintf("127.0.0.1:%d", s.Port)), append(names, fmt.Sprintf("db%d", i+1))
	}
	p := newProject(t, "DJANGO_SETTINGS_MODULE=shop.settings_simple", "SHOP_SERVERS="+strings.Join(servers, ","),
		"SHOP_MEMBERS="+strings.Join(names, ","), "SHOP_HEALTH=http://"+w.health)
	v := p.visit(t, workers)
	settled()
	w.whole()
	primary := w.failover()
	settled()
	v.enough()
	v.leave()
	v.judge(primary)
	after := p.visit(t, 1)
	settled()
	after.leave()
	if after.failures() > 0 || len(after.accepted) == 0 {
		t.Errorf("after the failover: %d orders, %v", len(after.accepted), after.failed)
	}
}
