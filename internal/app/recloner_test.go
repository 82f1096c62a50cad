package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// wipe empties a folder.
func wipe(t *testing.T, dir string) {
	t.Helper()
	gone := dir + ".gone"
	if err := os.Rename(dir, gone); err != nil { // a disk does not go file by file, which would pass for a shorter log
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := pgtest.Owner(t).Give(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(gone); err != nil {
		t.Fatal(err)
	}
}

// TestAReplicaIsLaidFromTheRepository takes a member's data away. Its agent lays it anew, without reading another member.
func TestAReplicaIsLaidFromTheRepository(t *testing.T) {
	w := newTrio(t, false, shopSource)
	w.serving(t, "")
	until(t, "the source is followed", func() bool { return w.source(t).State == stateFollowing })
	if _, err := say(t.Context(), w.rw, "insert into notes (text) values ('1') returning text"); err != nil {
		t.Fatal(err)
	}
	lost := w.servers[2]
	lost.Crash(t)
	if err := member.Halt(t.Context(), lost.Dir); err != nil {
		t.Fatal(err)
	}
	wipe(t, lost.Dir)
	until(t, "its loss is seen", func() bool { return w.cluster(t).Members[2].Role != "replica" })
	until(t, "the member is back", func() bool {
		c := w.cluster(t)
		return c.Members[2].Role == "replica" && c.Members[2].Following == "db1" && c.Members[2].Error == "" && c.Members[2].LagSeconds == 0
	})
	if label, err := os.ReadFile(filepath.Join(lost.Dir, "backup_label.old")); !errors.Is(err, fs.ErrNotExist) { // pg_basebackup leaves one
		t.Errorf("it was copied from another member: %v\n%s", err, label)
	}
	if _, err := say(t.Context(), w.rw, "insert into notes (text) values ('2') returning text"); err != nil {
		t.Fatal(err)
	}
	until(t, "it has what is written now", func() bool { return lost.Ask(t, "select string_agg(text, ',' order by n) from notes") == "1,2" })
}
