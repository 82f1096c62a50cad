package crash

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/killpoint"
	"github.com/backstaydb/backstay/internal/recovery"
)

// TestTablespacesElsewhere kills restores that put tablespaces outside of their folder, at their steps and at random. What
// they leave there is marked, and the same command clears it and succeeds.
func TestTablespacesElsewhere(t *testing.T) {
	b := newBank(t, 1, pgtest.Options{Checksums: true})
	early, late := pgtest.Folder(t), pgtest.Folder(t)
	b.db.Exec(t, "create tablespace early location '"+early+"'", "create table in_early tablespace early as select g from generate_series(1, 20000) g")
	b.protect()
	b.begun()
	b.db.Exec(t, "create tablespace late location '"+late+"'", "create table in_late tablespace late as select g from generate_series(1, 30000) g", "insert into in_early select 0")
	b.ledger.Commit(t)
	b.protected()
	b.stop()
	now := b.ledger.Now()

	into := b.place()
	elsewhere := filepath.Join(filepath.Dir(into), "spaces")
	arguments := append(b.fromRepository(), "--tablespace-map", early+"="+filepath.Join(elsewhere, "early"), "--tablespace-map", late+"="+filepath.Join(elsewhere, "late"))
	die := func(when string, kill func(arguments []string)) {
		t.Helper()
		kill(append([]string{"restore", "app", "--into", into}, arguments...))
		for _, name := range []string{"early", "late"} {
			entries, err := os.ReadDir(filepath.Join(elsewhere, name))
			if err == nil && len(entries) > 0 && entries[0].Name() != recovery.Marker {
				t.Errorf("a restore that died %s left %s in the folder for tablespace %s, without a mark", when, entries[0].Name(), name)
			}
		}
	}
	for step := range duringRestore {
		die("at "+string(step), func(arguments []string) {
			c := b.command(arguments...)
			c.Env = append(os.Environ(), "BACKSTAY_KILL_AT="+string(step))
			if out, err := c.CombinedOutput(); err == nil || c.ProcessState.Exited() {
				t.Fatalf("the restore was not killed at %s: %v\n%s", step, err, out)
			}
			if data := filepath.Join(elsewhere, "late", recovery.Marker, "data"); step == killpoint.RestoreReplayed {
				if entries, err := os.ReadDir(data); err != nil || len(entries) != 1 {
					t.Errorf("the tablespace is not in %s: %v, %v", data, entries, err)
				}
			}
		})
	}
	for range times(3, 50) {
		die("at some moment", func(arguments []string) {
			c := b.command(arguments...)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300*time.Millisecond + time.Duration(rand.IntN(1500))*time.Millisecond)
			_ = c.Process.Kill()
			_ = c.Wait()
			if c.ProcessState.Success() { // it was done before
				for _, dir := range []string{into, elsewhere} {
					if err := os.RemoveAll(dir); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
	b.restore(into, "latest", arguments...)
	out, err := b.command(append([]string{"restore", "app", "--into", into + "-other"}, arguments...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is not empty") {
		t.Errorf("a restore into tablespaces that are in use: %v\n%s", err, out)
	}
	for _, dir := range []string{early, late} { // the source's may not be what is read below
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	b.compareSpaces(into, elsewhere)
	b.compare(into, now)

	standby := b.place()
	fresh := filepath.Join(filepath.Dir(standby), "spaces")
	b.restore(standby, "latest", append(b.fromRepository(), "--standby", "--tablespace-map", early+"="+filepath.Join(fresh, "early"), "--tablespace-map", late+"="+filepath.Join(fresh, "late"))...)
	b.compareSpaces(standby, fresh)
}

// compareSpaces starts restored data, and looks where its tablespaces are and what is in them.
func (b *bank) compareSpaces(dir, elsewhere string) {
	b.t.Helper()
	c := pgtest.Opened(b.t, b.db.Version, dir, nil)
	c.Start(b.t)
	defer c.Stop(b.t)
	for name, rows := range map[string]string{"early": "20001", "late": "30000"} {
		link := filepath.Join(dir, "pg_tblspc", c.Ask(b.t, "select oid::text from pg_tablespace where spcname = $1", name))
		if got, err := filepath.EvalSymlinks(link); err != nil || got != filepath.Join(elsewhere, name) {
			b.t.Errorf("tablespace %s is in %s, want %s (%v)", name, got, filepath.Join(elsewhere, name), err)
		}
		if got := c.Ask(b.t, "select count(*)::text from in_"+name); got != rows {
			b.t.Errorf("tablespace %s holds %s rows, want %s", name, got, rows)
		}
		entries, err := os.ReadDir(filepath.Join(elsewhere, name))
		if err != nil || len(entries) != 1 || !strings.HasPrefix(entries[0].Name(), "PG_") {
			b.t.Errorf("the folder of tablespace %s holds %v, %v", name, entries, err)
		}
	}
}
