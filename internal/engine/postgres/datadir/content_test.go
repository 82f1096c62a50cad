package datadir

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseRelation(t *testing.T) {
	for name, want := range map[string]Relation{
		"16384": {Number: 16384}, "16384.12": {Number: 16384, Segment: 12}, "16384_vm": {Number: 16384, Fork: Visibility},
		"16384_fsm.1": {Number: 16384, Fork: FreeSpace, Segment: 1}, "16384_init": {Number: 16384, Fork: Init},
		"t3_16390": {Number: 16390, Temp: true}, "t12_16390_fsm": {Number: 16390, Temp: true, Fork: FreeSpace},
	} {
		if got, ok := ParseRelation(name); !ok || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "0", "016384", "PG_VERSION", "pg_filenode.map", "16384_", "16384_old", "16384.", "16384.0", "16384.x", "t_1", "tx_1",
		"t1", "16384_vm_vm", "+1", "99999999999"} {
		if r, ok := ParseRelation(name); ok {
			t.Errorf("%q is read as %+v", name, r)
		}
	}
}

// The tree of a server, with what must not be in a base marked by a minus.
const tree = `
+PG_VERSION
+postgresql.auto.conf
-postmaster.pid
-postmaster.opts
-other.pid
-standby.signal
-recovery.signal
-backup_label
-backup_label.old
-tablespace_map
-tablespace_map.old
-backup_manifest
-postgresql.auto.conf.tmp
-current_logfiles.tmp
+current_logfiles
+log/a.log
+base/5/PG_VERSION
+base/5/pg_filenode.map
-base/5/pg_internal.init
-base/5/pg_internal.init.123
+base/5/1259
+base/5/1259.1
+base/5/1259_vm
-base/5/t3_16390
-base/5/t3_16390_fsm
+base/5/16400_init
-base/5/16400
-base/5/16400.1
-base/5/16400_fsm
+base/5/16401
-base/pgsql_tmp/pgsql_tmp123.0
-base/pgsql_tmp/pgsql_tmp123.1.fileset/x
-pgsql_tmp9
+global/1262
-global/pg_internal.init
-pg_wal/000000010000000000000001
-pg_wal/archive_status/000000010000000000000001.done
-pg_wal/summaries/x.summary
-pg_replslot/s/state
-pg_dynshmem/mmap.1
-pg_notify/0000
-pg_serial/0000
-pg_snapshots/00000003-1
-pg_stat_tmp/global.stat
-pg_subtrans/0000
+pg_stat/pgstat.stat
+pg_xact/0000
+pg_multixact/members/0000
+pg_logical/replorigin_checkpoint
+pg_twophase/000002D8
+space:PG_15_1/5/16500
-space:PG_15_1/pgsql_tmp/pgsql_tmp1.0
-space:PG_14_1/5/16500
-space:other/file
-late:PG_15_1/5/16600
`

func TestWalkKeepsWhatTheServerWould(t *testing.T) {
	dir, space, late := t.TempDir(), t.TempDir(), t.TempDir()
	put := func(root, name string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for line := range strings.Lines(strings.TrimSpace(tree)) {
		keep, name := line[0] == '+', strings.TrimSpace(line[1:])
		if inside, ok := strings.CutPrefix(name, "space:"); ok {
			put(space, inside)
			name = "pg_tblspc/16385/" + inside
		} else if inside, ok := strings.CutPrefix(name, "late:"); ok {
			put(late, inside)
			name = "pg_tblspc/16386/" + inside
		} else {
			put(dir, name)
		}
		if keep {
			want = append(want, name)
		}
	}
	put(dir, "global/pg_control")
	put(space, "hba")
	put(dir, "tablespaces/16387/PG_15_1/5/16700") // reached by its link alone
	for link, to := range map[string]string{"pg_tblspc/16387": filepath.Join(dir, "tablespaces/16387"), "pg_tblspc/16385": space, "pg_tblspc/16386": late, "pg_hba.conf": filepath.Join(space, "hba"), "weblog": late} {
		if err := os.MkdirAll(filepath.Join(dir, "pg_tblspc"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	want = append(want, "pg_hba.conf")
	spaces, err := Tablespaces(dir)
	if err != nil || len(spaces) != 3 || spaces[0] != (Tablespace{16385, space}) {
		t.Fatalf("tablespaces %v, %v", spaces, err)
	}
	want = append(want, "pg_tblspc/16387/PG_15_1/5/16700")
	list, err := Walk(dir, 15, Control{CatalogVersion: 1}, []Tablespace{spaces[0], spaces[2]})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range list.Files {
		got = append(got, f.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !slices.Equal(list.Skipped, []string{"weblog"}) {
		t.Errorf("skipped %q", list.Skipped)
	}
	folders := map[string]bool{}
	for _, f := range list.Folders {
		if parent := filepath.Dir(f.Name); parent != "." && !folders[parent] {
			t.Errorf("folder %s comes before %s", f.Name, parent)
		}
		if !f.Mode.IsDir() || folders[f.Name] {
			t.Errorf("%s is %s, seen before: %v", f.Name, f.Mode, folders[f.Name])
		}
		folders[f.Name] = true
	}
	for _, name := range append(slices.Collect(maps.Keys(emptied)), "pg_wal/archive_status", "pg_tblspc/16385/PG_15_1/5", "pg_multixact/members") {
		if !folders[name] {
			t.Errorf("folder %s is missing", name)
		}
	}
}
