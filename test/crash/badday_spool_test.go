package crash

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
)

// TestRestoreFromTheSpool takes the repository away, so that commits lie in the spool of this host only, and kills the
// daemon with the database. Once the repository can be read again a restore brings all of them back, and a drill proves
// them; beside a running daemon too.
func TestRestoreFromTheSpool(t *testing.T) {
	s := newShop(t, "wal", 100)
	s.begin()
	s.protected()
	repo, away := s.path("repo"), s.path("away")
	if err := os.Rename(repo, away); err != nil {
		t.Fatal(err)
	}
	s.failing("local", "mount")
	before := len(s.ledger())
	s.until(30*time.Second, "some hundred orders more", func() bool { return len(s.ledger()) > before+200 })
	s.rest()
	all := s.ledger()
	last := all[len(all)-1]
	s.until(10*time.Second, "all is captured", func() bool {
		st, _ := s.status()
		return st.PositionTime.After(last.begun) && st.BehindBytes == 0
	})
	s.kill(s.agent)
	for _, file := range []string{"app.db", "app.db-wal", "app.db-shm"} {
		if err := os.Remove(s.path(file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	// A copy can be read and not be written: nothing may ship what is missing before it is restored.
	if err := os.CopyFS(repo, os.DirFS(away)); err != nil {
		t.Fatal(err)
	}
	if got := s.restore("latest"); got >= last.n {
		t.Fatalf("the repository alone holds all %d orders: nothing is in the spool only", got)
	}
	out, err := s.command("restore", "app", "--into", "new", "--json").Output()
	var plan api.Restore
	if err := errors.Join(err, json.Unmarshal(out, &plan)); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := s.orders(s.path("new/app.db")); got != last.n {
		t.Errorf("restored %d orders, %d were committed", got, last.n)
	}
	if plan.Local == nil || plan.Local.Commits < 100 {
		t.Errorf("the plan does not say what comes from the spool: %s", out)
	}
	middle := all[len(all)-50]
	s.run("restore", "app", "--into", "middle", "--to", middle.settled.UTC().Format(time.RFC3339Nano))
	if got := s.orders(s.path("middle/app.db")); got < middle.n-5 || got > middle.n+5 {
		t.Errorf("restored %d orders to the moment of order %d", got, middle.n)
	}
	if out, err := s.command("drill", "app", "--to", "latest").CombinedOutput(); err != nil || !bytes.Contains(out, []byte("from this host's spool")) {
		t.Errorf("drill: %v\n%s", err, out)
	}
	if left, _ := filepath.Glob(s.path(".backstay/drill/*")); len(left) > 0 {
		t.Errorf("the drill left %v", left)
	}
}
