package script

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// leaving is a folder from which a PostgreSQL server is protected, and no longer.
type leaving struct {
	t      *testing.T
	dir    string
	server *pgtest.Cluster
}

// backstay runs a command, wants an exit code, and returns all that was printed.
func (l *leaving) backstay(code int, args ...string) string {
	l.t.Helper()
	c := exec.Command("backstay", args...)
	c.Dir = l.dir
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || c.ProcessState.ExitCode() != code {
		l.t.Fatalf("backstay %s: %v, want exit code %d\n%s", strings.Join(args, " "), err, code, out)
	}
	return string(out)
}

// protect protects the server until it is followed and meanwhile has returned true, and returns what Ctrl-C then prints.
func (l *leaving) protect(meanwhile func(api.Source) bool) string {
	l.t.Helper()
	c := exec.Command("backstay", "protect", l.server.SocketURL(pgtest.Backup), "--name", "shop")
	var out lockedBuffer
	c.Dir, c.Stdout, c.Stderr = l.dir, &out, &out
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	ready := false
	for end := time.Now().Add(60 * time.Second); !ready && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		status := exec.Command("backstay", "status", "--json")
		status.Dir = l.dir
		said, _ := status.Output() // the daemon may not answer yet
		var s api.Status
		ready = json.Unmarshal(said, &s) == nil && len(s.Sources) == 1 && s.Sources[0].State == "following" && meanwhile(s.Sources[0])
	}
	if err := errors.Join(c.Process.Signal(os.Interrupt), c.Wait()); err != nil || !ready {
		l.t.Fatalf("ready %t, %v\n%s", ready, err, out.String())
	}
	return out.String()
}

func (l *leaving) slots() string {
	l.t.Helper()
	return l.server.Ask(l.t, "select count(*) from pg_replication_slots")
}

// TestNothingStaysAtAServerUnseen ends the protection of a server: its slot goes, or it is said with what to drop it; and commits that wait
// for Backstay are not left waiting.
func TestNothingStaysAtAServerUnseen(t *testing.T) {
	l := &leaving{t: t, dir: openFolder(t), server: pgtest.New(t, pgtest.Options{})}
	// The role may replicate, and connect to no database.
	l.server.HBA(t, "local all postgres trust\nlocal replication all trust\n")
	l.server.Reload(t)
	slot := regexp.MustCompile(`backstay_shop_[0-9a-f]{6}`)
	named := func(source api.Source) bool {
		return strings.Contains(source.Remains, "without Backstay commits wait there, as synchronous_standby_names is 'backstay'")
	}
	unnamed := func(source api.Source) bool { return source.Remains != "" && !named(source) }

	said := l.protect(func(source api.Source) bool {
		if unnamed(source) {
			l.server.Exec(t, "alter system set synchronous_standby_names = 'backstay'", "select pg_reload_conf()")
		}
		return named(source)
	})
	name := slot.FindString(said)
	if name == "" || !strings.Contains(said, "stopped; shop: replication slot "+name) || !strings.Contains(said, "without Backstay commits wait there") {
		t.Errorf("Ctrl-C says\n%s", said)
	}
	for _, args := range [][]string{{"unprotect", "shop"}, {"unprotect", "shop", "--dry-run"}, {"unprotect", "shop", "--leave-behind"}} {
		out := l.backstay(10, args...)
		if !strings.Contains(out, "its commits wait for Backstay") || !strings.Contains(out, "ALTER SYSTEM SET synchronous_standby_names = '';") || l.slots() != "1" {
			t.Errorf("%q while commits wait: %s slots\n%s", args, l.slots(), out)
		}
	}
	l.server.Exec(t, "alter system set synchronous_standby_names = ''", "select pg_reload_conf()")

	l.server.Stop(t)
	drop := "SELECT pg_drop_replication_slot('" + name + "');"
	if out := l.backstay(10, "unprotect", "shop"); !strings.Contains(out, "--leave-behind") || !strings.Contains(out, drop) {
		t.Errorf("unprotect without the server:\n%s", out)
	}
	if out := l.backstay(0, "unprotect", "shop", "--leave-behind", "--dry-run"); !strings.Contains(out, "would leave it to you to run at the source: "+drop) {
		t.Errorf("unprotect --leave-behind --dry-run:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(l.dir, ".backstay", "shop")); err != nil {
		t.Errorf("what unprotect refused was begun: %v", err)
	}
	l.server.Start(t)
	if out := l.backstay(0, "unprotect", "shop"); !strings.Contains(out, "drop at the source: replication slot "+name) || l.slots() != "0" {
		t.Errorf("%s slots are left after\n%s", l.slots(), out)
	}

	l.protect(unnamed)
	l.server.Stop(t)
	if out := l.backstay(0, "unprotect", "shop", "--leave-behind"); !strings.Contains(out, drop) {
		t.Errorf("unprotect --leave-behind:\n%s", out)
	}
	l.server.Start(t)
	if l.slots() != "1" {
		t.Errorf("%s slots", l.slots())
	}
	l.server.Exec(t, drop)
	if l.slots() != "0" {
		t.Error("what was to be run did not drop the slot")
	}
}
