package member_test

import (
	"testing"

	"github.com/backstaydb/backstay/internal/cluster"
)

// TestThePrimarysHostDies: nothing acknowledged is lost, another member leads, and the old primary comes back as a standby by itself.
func TestThePrimarysHostDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	first := w.serving(1)
	if first.name != "db1" {
		t.Fatalf("%s was adopted", first.name)
	}
	first.pg.Exec(t, "create table rows (n int)")
	w.streaming(first, 2)
	wr := w.write()
	wr.grow(t, 50)
	first.die()
	second := w.serving(2)
	wr.grow(t, 50)
	wr.check(t, second)
	w.log("longest gap %s", wr.gap)
	first.boot()
	w.streaming(second, 2)
	wr.grow(t, 20)
	wr.stop()
	third := w.host("db3")
	if second == third {
		third = w.host("db2")
	}
	w.k.ask(cluster.Request{Kind: cluster.Switchover, To: first.name, By: "test"})
	if back := w.serving(3); back != first {
		t.Fatalf("%s leads after the switchover", back.name)
	}
	wr.check(t, first)
	w.streaming(first, 2)
}
