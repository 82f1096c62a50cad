package pgtest

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/freeport"
)

// Standby makes a standby of the running server c and starts it. name is its application_name.
func (c *Cluster) Standby(t testing.TB, name string) *Cluster {
	t.Helper()
	s := &Cluster{Version: c.Version, Programs: c.Programs, Dir: Folder(t), user: c.user, Port: freeport.Port(t), sockets: Folder(t), primary: c}
	s.Config = s.Dir
	c.CopyTo(t, s.Dir)
	if c.Config != c.Dir {
		s.Config = Folder(t)
		copyTree(t, c.user, c.Config, s.Config)
		s.overrides = map[string]string{"config_file": filepath.Join(s.Config, "postgresql.conf"), "hba_file": filepath.Join(s.Config, "pg_hba.conf"), "ident_file": filepath.Join(s.Config, "pg_ident.conf")}
	}
	s.Follow(t, c, name)
	s.Start(t)
	return s
}

// Follow makes a stopped server a standby of primary, from its next start on.
func (c *Cluster) Follow(t testing.TB, primary *Cluster, name string) {
	t.Helper()
	c.primary = primary
	c.Set(t, map[string]string{
		"primary_conninfo": fmt.Sprintf("host=%s port=%d user=%s application_name=%s", primary.sockets, primary.Port, Admin, name),
		"hot_standby":      "on", "recovery_target_timeline": "latest",
	})
	signal := filepath.Join(c.Dir, "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.user.Give(signal); err != nil {
		t.Fatal(err)
	}
}

// Promote makes a standby a primary and waits until it is one.
func (c *Cluster) Promote(t testing.TB) {
	t.Helper()
	c.Exec(t, "select pg_promote(true, 60)")
	if c.Ask(t, "select pg_is_in_recovery()::text") != "false" {
		t.Fatalf("the server in %s was not promoted", c.Dir)
	}
	c.primary = nil
}

// CatchUp waits until a standby has replayed all that its primary has written.
func (c *Cluster) CatchUp(t testing.TB) {
	t.Helper()
	want := c.primary.LSN(t)
	for deadline := time.Now().Add(limit); c.LSN(t) < want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("standby is at %s after %s, want %s\n%s", c.LSN(t), limit, want, c.server.Tail())
		}
	}
}

// CopyTo copies the running server's data directory into the empty folder dir, consistently, as a base backup.
func (c *Cluster) CopyTo(t testing.TB, dir string) {
	t.Helper()
	conn := c.Connect(t)
	start, stop := "select pg_backup_start('pgtest', true)", "select labelfile from pg_backup_stop(false)"
	if c.Version < 15 {
		start, stop = "select pg_start_backup('pgtest', true, false)", "select labelfile from pg_stop_backup(false, false)"
	}
	if _, err := conn.Exec(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	copyTree(t, c.user, c.Dir, dir)
	label, err := value(t.Context(), conn, stop)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "backup_label")
	if err := os.WriteFile(name, []byte(label), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.user.Give(name); err != nil {
		t.Fatal(err)
	}
}

// copyTree copies what belongs to a base, for u. Files may change or vanish meanwhile.
func copyTree(t testing.TB, u server.User, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(path, from), "/")
		switch top, rest, inside := strings.Cut(name, "/"); {
		case name == "":
			return nil
		case name == "postmaster.pid", name == "postmaster.opts", inside && (top == "pg_replslot" || top == "pg_wal" && !strings.HasPrefix(rest, "archive_status")):
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		return copyFile(path, filepath.Join(to, name))
	})
	if err == nil {
		err = u.Give(to)
	}
	if err != nil {
		t.Fatalf("copy %s: %v", from, err)
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}

// Opened gives the server on restored data that does not run: a Cluster that a test can start, ask and compare.
// settings are on its command line, over those of the data.
func Opened(t testing.TB, version int, dir string, settings map[string]string) *Cluster {
	t.Helper()
	u, err := server.Owner(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Give(dir); err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Version: version, Programs: Programs(t, version), Dir: dir, Config: dir, user: u, Port: freeport.Port(t), sockets: Folder(t), overrides: map[string]string{}}
	maps.Copy(c.overrides, settings)
	return c
}
