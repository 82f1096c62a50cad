package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fill makes files below dir, each with its own name in it.
func fill(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAClaimAfterACrash stops a restore at each place where it may die, and restores again.
func TestAClaimAfterACrash(t *testing.T) {
	for name, die := range map[string]func(t *testing.T, c *claim){
		"before there is a mark": func(t *testing.T, c *claim) {
			if err := errors.Join(os.Remove(c.path(claimMark)), os.Remove(c.data())); err != nil {
				t.Fatal(err)
			}
		},
		"before there is data": func(*testing.T, *claim) {},
		"while it is filled":   func(t *testing.T, c *claim) { fill(t, c.data(), "PG_15_1/5/1", "PG_15_1/5/2") },
		"while it moves up": func(t *testing.T, c *claim) {
			fill(t, c.data(), "PG_15_1/5/1", "PG_16_1/5/1")
			if err := c.moveUp(); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(c.folder, "PG_16_1"), filepath.Join(c.data(), "PG_16_1")); err != nil {
				t.Fatal(err)
			}
		},
		"before the marker goes": func(t *testing.T, c *claim) {
			fill(t, c.data(), "PG_15_1/5/1")
			if err := c.moveUp(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "space")
			c, err := claimFolder(dir, "/restored", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			var busy *SpaceError
			if _, err := claimFolder(dir, "/other", time.Now()); !errors.As(err, &busy) || !strings.Contains(err.Error(), "another restore") {
				t.Errorf("a second restore was let in: %v", err)
			}
			die(t, c)
			if err := c.unlock(); err != nil { // as the end of the process does
				t.Fatal(err)
			}
			if err := vacant(dir); err != nil {
				t.Errorf("what a dead restore left is in the way: %v", err)
			}
			again, err := claimFolder(dir, "/other", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if left := list(t, dir); left != claimMarker {
				t.Errorf("after the second restore began there is %s", left)
			}
			fill(t, again.data(), "PG_15_1/5/9")
			if err := errors.Join(again.moveUp(), again.finish()); err != nil {
				t.Fatal(err)
			}
			if left := list(t, dir) + " " + list(t, filepath.Join(dir, "PG_15_1", "5")); left != "PG_15_1 9" {
				t.Errorf("the second restore left %s", left)
			}
			if err := vacant(dir); err == nil {
				t.Error("a tablespace that is done could be restored over")
			}
		})
	}
}

// TestAClaimLeavesWhatOthersPutThere puts a file beside what a dead restore left.
func TestAClaimLeavesWhatOthersPutThere(t *testing.T) {
	dir := t.TempDir()
	c, err := claimFolder(dir, "/restored", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	fill(t, c.data(), "PG_15_1/5/1")
	if err := errors.Join(c.moveUp(), c.unlock()); err != nil {
		t.Fatal(err)
	}
	fill(t, dir, "precious")
	var refused *SpaceError
	if _, err := claimFolder(dir, "/restored", time.Now()); !errors.As(err, &refused) || !strings.Contains(err.Error(), "precious") {
		t.Errorf("a folder with something of others in it was taken: %v", err)
	}
	if left := list(t, dir); left != claimMarker+" PG_15_1 precious" {
		t.Errorf("it holds %s", left)
	}
}

// TestADroppedClaim leaves the folder as it was found.
func TestADroppedClaim(t *testing.T) {
	there, made := t.TempDir(), filepath.Join(t.TempDir(), "new")
	for _, dir := range []string{there, made} {
		c, err := claimFolder(dir, "/restored", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		fill(t, c.data(), "PG_15_1/5/1")
		if err := c.drop(); err != nil {
			t.Fatal(err)
		}
	}
	if left := list(t, there); left != "" {
		t.Errorf("it left %s", left)
	}
	if _, err := os.Stat(made); err == nil {
		t.Error("a folder that was made for it is left")
	}
}

// list names what is in a folder.
func list(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
