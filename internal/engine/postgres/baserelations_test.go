package postgres

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

func TestRelationsThatComeAndGoAreTheLogs(t *testing.T) {
	long(t)
	for _, way := range []string{"files", "stream"} {
		t.Run(way, func(t *testing.T) { testRelationsThatComeAndGo(t, way) })
	}
}

func testRelationsThatComeAndGo(t *testing.T, way string) {
	c := pgtest.New(t, pgtest.Options{Checksums: true})
	c.Exec(t, `create table dropped as select i, md5(i::text) t from generate_series(1, 60000) i;
		create table truncated as select * from dropped; create table stays as select * from dropped;
		create table shrinks as select * from dropped; delete from shrinks where i > 100; checkpoint`)
	c.Exec(t, "create database goes", "select pg_create_physical_replication_slot('keep', true)")
	shrinks := c.Ask(t, "select pg_relation_filepath('shrinks')")
	space := pgtest.Folder(t)
	changed, shrunk := false, false
	var dropped sync.WaitGroup
	sink := &folderSink{dir: pgtest.Folder(t)}
	sink.before = func(name string) {
		if name == shrinks { // it is open and its size is known
			shrunk = true
			c.Exec(t, "vacuum shrinks")
		}
		if changed || !strings.HasPrefix(name, "base/") || strings.Count(name, "/") != 2 {
			return
		}
		changed = true // the list of files is made, none is read
		if way == "files" {
			c.Exec(t, "drop database goes")
		} else { // it waits for a server process that sends the base, which waits for us
			dropped.Go(func() { c.Exec(t, "drop database goes") })
		}
		c.Exec(t, "drop table dropped", "truncate truncated", "checkpoint",
			"create tablespace late location '"+space+"'", "create table in_late tablespace late as select 1 as i",
			"create table fresh as select * from stays", "checkpoint")
	}
	var b *takenBase
	if way == "files" {
		b, _ = takeFiles(t, c, sink)
	} else {
		b = takeRemote(t, c, sink)
	}
	dropped.Wait()
	if !changed || !shrunk {
		t.Fatal("nothing happened during the base")
	}
	if n := b.damage.Pages(); n != 0 {
		t.Errorf("what was truncated passes for damage: %q", b.damage.Lines())
	}
	verify(t, c, sink.dir)
	late := "pg_tblspc/" + c.Ask(t, "select oid from pg_tablespace where spcname = 'late'")
	if slices.ContainsFunc(sink.names, func(n string) bool { return strings.HasPrefix(n, late) }) {
		t.Errorf("%s, which replay makes, is in the base", late)
	}
	c.Exec(t, "drop table in_late", "drop tablespace late") // its folder is one for both servers
	r := recoverBase(t, c, b, sink.dir)
	for table, want := range map[string]string{"truncated": "0", "stays": "60000", "shrinks": "100", "fresh": "60000"} {
		if got := r.Ask(t, "select count(*) from "+table); got != want {
			t.Errorf("%s has %s rows, want %s", table, got, want)
		}
	}
	if got := r.Ask(t, "select to_regclass('dropped') is null and not exists (select from pg_database where datname = 'goes')"); got != "t" {
		t.Error("what was dropped is there")
	}
}
