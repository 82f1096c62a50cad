package member

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestSlotsOfMembersThatAreGoneAreDropped, a day after that was said, and not those of members that are there, or are put back.
func TestSlotsOfMembersThatAreGoneAreDropped(t *testing.T) {
	if testing.Short() {
		t.Skip("with a server: not with -short")
	}
	pg := pgtest.New(t, pgtest.Options{})
	s := serverOf(t, pg, nil)
	s.c.Name, s.c.Known = "db1", []string{"db1", "db2"}
	said := ""
	s.c.Said = func(text string) { said += text + "\n" }
	for _, name := range []string{"db2", "db8", "db9"} {
		pg.Exec(t, "select pg_create_physical_replication_slot('"+slot(name)+"', true)")
	}
	now := time.Now()
	look := func(after time.Duration) string {
		t.Helper()
		must(t, s.tend(t.Context(), now.Add(after)))
		return pg.Ask(t, "select string_agg(slot_name, ' ' order by slot_name) from pg_replication_slots")
	}
	all := strings.Join([]string{slot("db2"), slot("db8"), slot("db9")}, " ")
	if got := look(0); got != all || strings.Count(said, "not in the file") != 2 {
		t.Errorf("at first %s; said %s", got, said)
	}
	if got := look(farewell - time.Minute); got != all || strings.Count(said, "\n") != 2 {
		t.Errorf("before a day is over %s; said %s", got, said)
	}
	s.c.Known = append(s.c.Known, "db8")
	if got := look(farewell); got != slot("db2")+" "+slot("db8") || !strings.Contains(said, "dropped slot "+slot("db9")) {
		t.Errorf("after it %s; said %s", got, said)
	}
	s.c.Known = s.c.Known[:2]
	if got := look(farewell); got != slot("db2")+" "+slot("db8") {
		t.Errorf("one that was put back and taken out again waits no day: %s", got)
	}
}

// TestOwnFilesOutliveATryThatBrokeOff: by then those in the data directory are the primary's.
func TestOwnFilesOutliveATryThatBrokeOff(t *testing.T) {
	s := &Server{c: Config{Dir: t.TempDir(), Aside: t.TempDir()}}
	write := func(text string) {
		for _, name := range []string{"postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "server.key"} {
			must(t, os.WriteFile(filepath.Join(s.c.Dir, name), []byte(text), 0o600))
		}
	}
	write("mine")
	if _, err := s.keepOwn(); err != nil {
		t.Fatal(err)
	}
	write("the primary's")
	again := &Server{c: s.c}
	own, err := again.keepOwn()
	must(t, err)
	must(t, again.giveBack(own))
	for _, name := range []string{"postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "server.key"} {
		if b, err := os.ReadFile(filepath.Join(s.c.Dir, name)); err != nil || string(b) != "mine" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	write("mine, changed later")
	own, err = s.keepOwn()
	if must(t, err); string(own["pg_hba.conf"]) != "mine, changed later" {
		t.Errorf("after it was given back: %q", own["pg_hba.conf"])
	}
}
