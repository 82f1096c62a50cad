package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/killpoint"
)

// TestRestoreInterrupted kills and interrupts restores at steps and at random moments. The next one into the same folder
// clears what the last left behind and succeeds; an interrupted one leaves nothing.
func TestRestoreInterrupted(t *testing.T) {
	s := newShop(t, "wal", 200)
	s.begin()
	time.Sleep(2 * time.Second)
	s.whole()
	all := s.ledger()
	want := all[len(all)-1].n
	into := s.path("new")
	start := func(env ...string) *exec.Cmd {
		c := s.command("restore", "app", "--into", into)
		c.Env = append(os.Environ(), env...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, step := range []killpoint.Step{killpoint.RestoreLaid, killpoint.RestoreReplayed} {
		c := start("BACKSTAY_KILL_AT=" + string(step) + ":1")
		_ = c.Wait()
		if c.ProcessState.Success() {
			t.Fatalf("the restore survived %s", step)
		}
		if _, err := os.Stat(filepath.Join(into, "app.db")); err == nil {
			t.Errorf("a restore that died at %s shows a database as if it were done", step)
		}
	}
	// What the dead left is cleared by the next one, so that what is found from here on an interrupted one left.
	s.run("restore", "app", "--into", into)
	if err := os.RemoveAll(into); err != nil {
		t.Fatal(err)
	}
	for i := range times(8, 100) {
		c := start()
		time.Sleep(time.Duration(i) * 15 * time.Millisecond)
		_ = c.Process.Signal(syscall.SIGINT)
		_ = c.Wait()
		switch code := c.ProcessState.ExitCode(); {
		case code == 0:
			if err := os.RemoveAll(into); err != nil {
				t.Fatal(err)
			}
		case code == exitInterrupted:
			if left, err := os.ReadDir(into); err == nil && len(left) > 0 {
				t.Errorf("an interrupted restore left %v", left)
			}
		case !tooEarly(code):
			t.Errorf("an interrupted restore ended with %d", code)
		}
	}
	s.run("restore", "app", "--into", into)
	if got := s.orders(filepath.Join(into, "app.db")); got != want {
		t.Errorf("after all interruptions %d orders were restored, want %d", got, want)
	}
}
