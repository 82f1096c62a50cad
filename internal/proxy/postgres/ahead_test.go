package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/route"
)

// TestSessionsLogInAheadOfAPlannedChange while they work, are told of when they have, and go on with these logins; given up, they leave.
func TestSessionsLogInAheadOfAPlannedChange(t *testing.T) {
	w := newWorld(t, options{})
	standby := w.primary.Standby(t, "s1")
	w.serving(w.primary)
	planned := func(target string) {
		w.apply(route.Route{Epoch: w.epoch, State: route.Serving, Address: address(w.primary), Moving: "next", Target: target, For: time.Hour})
	}
	ready := func() bool { return w.table.Ack(route.ID{}).Ready == "next" }
	there := func() string {
		return standby.Ask(t, "select coalesce(string_agg(pid::text, ' ' order by pid), '') from pg_stat_activity where usename = '"+app+"'")
	}
	var all []*pgx.Conn
	for i := range 4 {
		conn := w.connect()
		if _, err := conn.Exec(t.Context(), fmt.Sprintf("set application_name = 'client %d'", i)); err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	tx, err := all[0].Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	planned(address(standby))
	eventually(t, "those that are idle have logged in", func() bool { return len(strings.Fields(there())) == 3 })
	if ready() {
		t.Error("it is ready though a session is in a transaction")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are ready", ready)
	planned("")
	eventually(t, "the change is given up", func() bool { return there() == "" })

	planned(address(standby))
	eventually(t, "all are ready again", ready)
	if _, err := all[1].Exec(t.Context(), "deallocate all"); err != nil { // the question that stands prepared goes with it
		t.Fatal(err)
	}
	before := there()
	w.switchover(standby)
	for i, conn := range all {
		if got, want := ask(t, conn, "select current_setting('application_name')"), fmt.Sprintf("client %d", i); got != want {
			t.Errorf("session %d: %q, want %q", i, got, want)
		}
		if pid := ask(t, conn, "select pg_backend_pid()::text"); !strings.Contains(" "+before+" ", " "+pid+" ") {
			t.Errorf("session %d is at %s, and had logged in as one of %s", i, pid, before)
		}
	}
	if n := w.listener.Snapshot(); n.Moved != 4 || n.Unmoved+n.Severed+n.Unknown+n.Expired != 0 {
		t.Errorf("counts %+v", n)
	}
}
