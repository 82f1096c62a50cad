package catalog_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/catalog"
)

func TestOpenMakesAndKeeps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b#c?.db")
	if _, err := catalog.Join(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("join what is not there: %v", err)
	}
	for i, fresh := range []bool{true, false} {
		c, err := catalog.Open(t.Context(), path)
		if err != nil || c.Opened() != (catalog.Opened{Fresh: fresh}) {
			t.Fatalf("%d: %+v, %v", i, c.Opened(), err)
		}
		beside, err := catalog.Join(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		sync(t, beside, facts(5+i))
		check(t, c, facts(5+i))
		if err := errors.Join(c.Verify(t.Context()), beside.Close(), c.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestUnusableFilesAreMovedAside by the owner, and left alone by a command.
func TestUnusableFilesAreMovedAside(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"no database": func(t *testing.T, path string) {
			overwrite(t, path, 0, "this is text, and long enough to be looked at")
		},
		"empty":      func(t *testing.T, path string) { truncate(t, path, 20) },
		"the schema": func(t *testing.T, path string) { overwrite(t, path, 100, string(make([]byte, 3000))) },
		"newer": func(t *testing.T, path string) {
			c, err := catalog.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(c.Migrate(t.Context(), "CREATE TABLE more (x)"), c.Close()); err != nil {
				t.Fatal(err)
			}
		},
		"met later": func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			overwrite(t, path, 4096*4, string(make([]byte, info.Size()-4096*4)))
			c, err := catalog.Open(t.Context(), path)
			if err != nil {
				t.Fatalf("it begins well: %v", err)
			}
			var damaged *catalog.DamagedError
			if err := errors.Join(c.Verify(t.Context()), c.Close()); !errors.As(err, &damaged) {
				t.Fatalf("verify: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "catalog.db")
			c, err := catalog.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			sync(t, c, facts(2000))
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			spoil(t, path)
			var damaged *catalog.DamagedError
			var newer *catalog.NewerError
			if _, err := catalog.Join(t.Context(), path); !errors.As(err, &damaged) && !errors.As(err, &newer) {
				t.Errorf("join: %v", err)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("join moved it: %v", err)
			}
			c, err = catalog.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			o := c.Opened()
			if _, err := os.Stat(o.Aside); err != nil || !o.Fresh || o.Reason == "" {
				t.Errorf("%+v: %v", o, err)
			}
			sync(t, c, facts(10))
			check(t, c, facts(10))
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if c, err = catalog.Open(t.Context(), path); err != nil || c.Opened().Fresh {
				t.Fatalf("opened again: %+v, %v", c.Opened(), err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func overwrite(t *testing.T, path string, at int64, with string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(with), at)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// TestMigrationsGoForward, once, and all or nothing.
func TestMigrationsGoForward(t *testing.T) {
	c, _ := open(t)
	sync(t, c, facts(5))
	if err := c.Migrate(t.Context(), "CREATE TABLE more (x)", "no SQL"); err == nil {
		t.Fatal("a migration that fails was taken")
	}
	for range 2 {
		if err := c.Migrate(t.Context(), "CREATE TABLE more (x)"); err != nil {
			t.Fatal(err)
		}
	}
	check(t, c, facts(5))
	var newer *catalog.NewerError
	if err := c.Migrate(t.Context()); !errors.As(err, &newer) || newer.Have != catalog.Version+1 {
		t.Errorf("a newer file: %v", err)
	}
}

const killFile = "CATALOG_TEST_FILE"

// TestWriteForEver is not a test: TestKilledWriter starts it as a process of its own.
func TestWriteForEver(t *testing.T) {
	path := os.Getenv(killFile)
	if path == "" {
		t.Skip("it is started by TestKilledWriter")
	}
	c, err := catalog.Join(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		f := facts(200 * n)
		if n%3 == 0 {
			f = without(f, 10, int64(5*n))
		}
		r := catalog.Run{ID: fmt.Sprint(os.Getpid(), n), Kind: "base", Source: "app", Began: start, Ended: start, Outcome: catalog.OK}
		if err := errors.Join(c.Sync(context.Background(), ref, f), c.Record(context.Background(), r)); err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString("> " + r.ID + "\n") // the parent may be gone
	}
}

// TestKilledWriter kills a writer again and again, while this process reads: the file stays sound, what was recorded
// stands, and the next sync brings the objects to where they should be.
func TestKilledWriter(t *testing.T) {
	c, path := open(t)
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWriteForEver$")
		cmd.Env = append(os.Environ(), killFile+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		last, n := "", 0
		for s := bufio.NewScanner(out); s.Scan(); {
			if id, ok := cutPrefix(s.Text()); ok {
				if last, n = id, n+1; n == 3+round {
					time.Sleep(time.Duration(round) * 3 * time.Millisecond)
					_ = cmd.Process.Kill()
				}
			}
			if _, err := c.Summary(t.Context()); err != nil {
				t.Errorf("read while another writes: %v", err)
			}
		}
		timer.Stop()
		_ = cmd.Wait() // it was killed
		if err := c.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		if list, err := c.Runs(t.Context(), catalog.RunFilter{ID: last}); err != nil || len(list) != 1 {
			t.Fatalf("the run %q is recorded %d times: %v", last, len(list), err)
		}
		f := facts(20_000 + round)
		sync(t, c, f)
		check(t, c, f)
		if err := c.Forget(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
}

func cutPrefix(line string) (string, bool) {
	if len(line) > 2 && line[:2] == "> " {
		return line[2:], true
	}
	return "", false
}
