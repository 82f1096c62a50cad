//go:build unix

package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

func TestTablespaces(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes a cluster of its own")
	}
	w := newWorld(t, pgtest.Options{})
	before, mapped, during, after, dropped := pgtest.Folder(t), pgtest.Folder(t), pgtest.Folder(t), pgtest.Folder(t), pgtest.Folder(t)
	make := func(name, dir string) {
		w.cluster.Exec(t, "create tablespace "+name+" location '"+dir+"'", "create table in_"+name+" tablespace "+name+" as select g from generate_series(1, 1000) g")
	}
	make("before", before)
	make("mapped", mapped)
	w.take(t, func() { make("during", during) })
	make("after", after)
	make("dropped", dropped)
	w.cluster.Exec(t, "insert into in_after select 0", "insert into in_before select 0", "drop table in_dropped")
	w.cluster.Exec(t, "drop tablespace dropped")
	l := w.log(t, 400_000)
	oid := func(name string) string {
		return w.cluster.Ask(t, "select oid from pg_tablespace where spcname = $1", name)
	}

	elsewhere := filepath.Join(pgtest.Place(t), "a new folder", "spaces")
	r, err := Engine{}.Place(engine.Placement{Tablespaces: map[string]string{
		mapped: filepath.Join(elsewhere, "mapped"), oid("after"): filepath.Join(elsewhere, "after"), "/srv/none": filepath.Join(elsewhere, "none")}})
	if err != nil {
		t.Fatal(err)
	}
	marker := w.lay(t)
	reached, err := r.Replay(t.Context(), marker, l, engine.Goal{})
	if err != nil {
		t.Fatal(err)
	}
	if len(reached.Notes) != 1 || !strings.Contains(reached.Notes[0], "/srv/none") {
		t.Errorf("notes %q, want that a mapping was not used", reached.Notes)
	}
	for _, name := range []string{"mapped", "after"} {
		if got := list(t, filepath.Join(elsewhere, name)); got != claimMarker {
			t.Errorf("before the data is at its place the folder for tablespace %s holds %s", name, got)
		}
	}
	dir := filepath.Join(filepath.Dir(marker), "final")
	if err := os.Rename(marker, dir); err != nil {
		t.Fatal(err)
	}
	if err := r.(engine.Settler).Settle(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"before": filepath.Join(dir, spacesFolder, oid("before")),
		"during": filepath.Join(dir, spacesFolder, oid("during")),
		"mapped": filepath.Join(elsewhere, "mapped"),
		"after":  filepath.Join(elsewhere, "after"),
	} {
		if got, err := os.Readlink(filepath.Join(dir, linksFolder, oid(name))); got != want {
			t.Errorf("tablespace %s lies in %s, want %s (%v)", name, got, want, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if len(e.Name()) == 2 || strings.HasPrefix(e.Name(), ".backstay") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
	for _, name := range []string{"mapped", "after"} {
		if got := list(t, filepath.Join(elsewhere, name)); !strings.HasPrefix(got, "PG_") || strings.Contains(got, " ") {
			t.Errorf("the folder for tablespace %s holds %s", name, got)
		}
	}
	if links, _ := os.ReadDir(filepath.Join(dir, linksFolder)); len(links) != 4 {
		t.Errorf("%d links to tablespaces, want 4", len(links))
	}
	// The source must not have been touched, nor may it serve the restored server.
	w.cluster.Exec(t, "checkpoint")
	w.cluster.Stop(t)
	for _, d := range []string{before, mapped, during, after, dropped} {
		if err := os.RemoveAll(d); err != nil {
			t.Fatal(err)
		}
	}
	conn := w.plain(t, dir)
	for name, want := range map[string]int{"before": 1001, "mapped": 1000, "during": 1000, "after": 1001} {
		var n int
		if err := conn.QueryRow(t.Context(), "select count(*) from in_"+name).Scan(&n); err != nil || n != want {
			t.Errorf("table in %s has %d rows, want %d (%v)", name, n, want, err)
		}
	}
}

func TestPlaceRefusesFoldersThatHoldSomething(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (Engine{}).Place(engine.Placement{Tablespaces: map[string]string{"/srv/a": dir}}); err == nil {
		t.Error("a folder that holds something was taken")
	}
	empty := t.TempDir()
	for _, other := range []string{empty, filepath.Join(empty, "below")} {
		if _, err := (Engine{}).Place(engine.Placement{Tablespaces: map[string]string{"/srv/a": empty, "/srv/b": other}}); err == nil {
			t.Errorf("%s was taken for a tablespace, and %s for another one", empty, other)
		}
	}
}
