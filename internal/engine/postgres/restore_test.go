//go:build unix

package postgres

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/datadir"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/engine/postgres/wal"
	"github.com/backstaydb/backstay/internal/recovery"
)

// TestRestore restores one cluster in many ways: to make it takes longer than to restore it.
func TestRestore(t *testing.T) {
	w := newWorld(t, pgtest.Options{})
	w.commit(t, 20, 100)
	w.take(t, func() { w.commit(t, 20, 5000) })
	w.commit(t, 100, 60_000)
	renamed := w.rename(t)
	for _, test := range []struct {
		name  string
		short bool
		run   func(*testing.T, *world)
	}{
		{"stands at the goal", true, testGoals},
		{"through recovery", false, testRun},
		{"a drill", false, testDrill},
		{"damage in the log is never a shorter success", true, testDamagedLog},
		{"a server that takes damage for the end is caught", false, testDamageBehindUs},
		{"a store that fails promotes nothing", false, testFailingStore},
		{"a restore that is given up stops", false, testGivenUp},
		{"a restore that is killed promotes nothing", false, testKilled},
		{"without being root", false, testNotRoot},
		{"a standby stands at the goal", false, testStandby},
		{"verify finds planted damage", false, testPlantedDamage},
		{"verify accuses nobody of what this host lacks", false, testForeignHost},
		{"verify without amcheck reads every table", false, testWithoutAmcheck},
		{"the first superuser may have any name", false, func(t *testing.T, w *world) { testFirstRole(t, w, renamed) }},
		{"configuration from elsewhere starts here", false, testConfiguration},
		{"configuration that includes from elsewhere starts here", false, testOwnConfiguration},
		{"data without any configuration starts here", false, testNoConfiguration},
		{"a server is left running", false, testStart},
		{"it is seen before the base is laid whether it can be", true, testPreflight},
		{"records of an extension", false, testForeignRecords},
		{"records of an extension that is here", false, testLoadedReplay},
	} {
		t.Run(test.name, func(t *testing.T) {
			if testing.Short() && !test.short {
				t.Skip("with -short the others")
			}
			test.run(t, w)
		})
	}
}

// TestEveryVersion restores each version that is installed here: to a commit, and as a standby.
func TestEveryVersion(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes a cluster of each version")
	}
	for _, version := range pgtest.Versions(t) {
		if version == pgtest.Default {
			continue // TestRestore
		}
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			w := newWorld(t, pgtest.Options{Version: version})
			space := pgtest.Folder(t)
			w.commit(t, 5, 100)
			w.take(t, func() { w.commit(t, 5, 5000) })
			w.cluster.Exec(t, "create tablespace later location '"+space+"'", "create table in_later tablespace later as select 1")
			w.commit(t, 30, 60_000)
			l := w.log(t, 700_000)
			marks := l.marks()
			at := marks[len(marks)-10].Position
			dir, r := w.restored(t, l, at)
			for name, c := range asked(t, dir, r) {
				if !c.OK {
					t.Errorf("%s: %s", c.Name, c.Detail)
				}
				if name == "amcheck" && !strings.Contains(c.Detail, "indexes with all their rows") {
					t.Errorf("it says %q", c.Detail)
				}
				if name == "page checksums" && !strings.HasSuffix(c.Detail, "have their checksums") {
					t.Errorf("it says %q", c.Detail)
				}
			}
			requireRows(t, w.plain(t, dir), w.at(l, wal.LSN(at.Seq)))
			if to, err := os.Readlink(filepath.Join(dir, linksFolder, w.cluster.Ask(t, "select oid from pg_tablespace where spcname = 'later'"))); filepath.Dir(to) != filepath.Join(dir, spacesFolder) {
				t.Errorf("a tablespace lies in %s, %v", to, err)
			}
			testStandby(t, w)
		})
	}
}

// testPreflight looks at bases of which only what is asked for was laid.
func testPreflight(t *testing.T, w *world) {
	var r engine.Preflighter = Engine{}
	lay := func(change func(dir string)) error {
		t.Helper()
		dir := filepath.Join(pgtest.Place(t), "few")
		for _, name := range r.Needs() {
			b, err := os.ReadFile(filepath.Join(w.base, name))
			if err == nil {
				err = os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700)
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		change(dir)
		return r.Preflight(t.Context(), dir)
	}
	if err := lay(func(string) {}); err != nil {
		t.Errorf("Preflight: %v", err)
	}
	err := lay(func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte("11\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if missing, ok := errors.AsType[*server.MissingError](err); !ok || missing.Major != 11 || !recovery.Environment(err) {
		t.Errorf("Preflight of a version that is not here: %v", err)
	}
	err = lay(func(dir string) {
		if err := os.Remove(filepath.Join(dir, "global", "pg_control")); err != nil {
			t.Fatal(err)
		}
	})
	if _, bad := recovery.Damaged(err); !bad {
		t.Errorf("Preflight without pg_control: %v", err)
	}
}

func testGoals(t *testing.T, w *world) {
	l := w.log(t, 700_000)
	marks := l.marks()
	end := l.segments[len(l.segments)-1].To
	for name, at := range map[string]wal.LSN{
		"end of the log":     wal.LSN(end.Seq),
		"a commit":           wal.LSN(marks[len(marks)-10].Position.Seq),
		"inside of a record": wal.LSN(marks[len(marks)-5].Position.Seq) - 9,
		"end of the base":    w.stop,
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "a commit" {
				t.Skip("with -short one of them")
			}
			dir, r := w.restored(t, l, position(1, at))
			if at != w.stop && r.Time.IsZero() {
				t.Error("no time of the last commit")
			}
			requireRows(t, w.plain(t, dir), w.at(l, at))
		})
	}
	t.Run("no goal at all", func(t *testing.T) {
		if testing.Short() {
			t.Skip("with -short one of them")
		}
		dir := w.lay(t)
		r, err := restorer{}.Replay(t.Context(), dir, l, engine.Goal{})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Position.Equal(end) {
			t.Errorf("reached %s, want %s", r.Position, end)
		}
	})
}

func testDamagedLog(t *testing.T, w *world) {
	whole := w.log(t, 600_000)
	end := whole.segments[len(whole.segments)-1].To
	for name, harm := range map[string]func(l *memLog){
		"a flipped bit": func(l *memLog) {
			d := l.parts[len(l.parts)/2].data[0]
			d[len(d)/2] ^= 4
		},
		"zeros": func(l *memLog) {
			d := l.parts[len(l.parts)/2].data[0]
			clear(d[len(d)/2:])
		},
		"a file that is too short": func(l *memLog) {
			p := l.parts[len(l.parts)/2]
			p.data[0] = p.data[0][:len(p.data[0])/2]
			p.entries[0].Size = int64(len(p.data[0]))
		},
		"a missing segment": func(l *memLog) {
			i := len(l.parts) / 2
			l.parts, l.segments = slices.Delete(l.parts, i, i+1), slices.Delete(l.segments, i, i+1)
		},
		"a log that ends too early": func(l *memLog) {
			n := len(l.parts) - 1
			l.parts, l.segments = l.parts[:n], l.segments[:n]
		},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "a flipped bit" {
				t.Skip("with -short one of them")
			}
			l := w.log(t, 600_000)
			harm(l)
			_, err := restorer{}.Replay(t.Context(), w.lay(t), l, engine.Goal{Position: end})
			if object, bad := recovery.Damaged(err); err == nil || !bad || object != "" {
				t.Errorf("Replay: %v (damage: %v)", err, bad)
			}
		})
	}
}

// testDamageBehindUs damages what was served already, behind our own reader.
func testDamageBehindUs(t *testing.T, w *world) {
	l := w.log(t, 600_000)
	dir, damaged := w.lay(t), ""
	l.open = func(i int) error {
		files, err := filepath.Glob(filepath.Join(dir, serveFolder, "0*"))
		if damaged != "" || i < len(l.parts)/2 || len(files) < 4 || err != nil {
			return err
		}
		damaged = files[2]
		b, err := os.ReadFile(damaged)
		if err == nil {
			clear(b[len(b)/2:])
			err = os.WriteFile(damaged, b, 0)
		}
		return err
	}
	_, err := restorer{}.Replay(t.Context(), dir, l, engine.Goal{Position: l.segments[len(l.segments)-1].To})
	if damaged == "" {
		t.Fatal("nothing was damaged")
	}
	if _, bad := recovery.Damaged(err); !bad || !strings.Contains(err.Error(), "ended") {
		t.Errorf("Replay: %v", err)
	}
}

func testFailingStore(t *testing.T, w *world) {
	l := w.log(t, 600_000)
	dir, refused := w.lay(t), errors.New("the store does not answer")
	l.open = func(i int) error {
		if i < len(l.parts)-2 {
			return nil
		}
		time.Sleep(500 * time.Millisecond)
		return refused
	}
	_, err := restorer{}.Replay(t.Context(), dir, l, engine.Goal{Position: l.segments[len(l.segments)-1].To})
	if !errors.Is(err, refused) {
		t.Fatalf("Replay: %v", err)
	}
	if _, bad := recovery.Damaged(err); bad || !recovery.Environment(err) {
		t.Error("the backup was blamed")
	}
	requireNoServer(t, dir)
	requireNotPromoted(t, dir)
}

func requireNoServer(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		number, _, _ := strings.Cut(string(text), "\n")
		if pid, err := strconv.Atoi(number); err == nil && syscall.Kill(pid, 0) != nil {
			return
		}
	}
	t.Error("the server still runs")
}

func requireNotPromoted(t *testing.T, dir string) {
	t.Helper()
	if _, err := forkOf(dir, 2); err == nil {
		t.Error("it was promoted")
	}
	c, _, err := datadir.ReadControl(os.DirFS(dir))
	if err != nil || c.Timeline != 1 {
		t.Errorf("timeline %d, %s, %v", c.Timeline, c.State, err)
	}
}

func testGivenUp(t *testing.T, w *world) {
	l := w.log(t, 600_000)
	dir := w.lay(t)
	ctx, cancel := context.WithCancel(t.Context())
	l.open = func(i int) error {
		if i == len(l.parts)-1 {
			time.Sleep(time.Second)
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	begin := time.Now()
	_, err := restorer{}.Replay(ctx, dir, l, engine.Goal{Position: l.segments[len(l.segments)-1].To})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Replay: %v", err)
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	requireNoServer(t, dir)
	requireNotPromoted(t, dir)
}
