package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/killpoint"
)

// duringRestore are the steps that a restore passes, not the daemon.
var duringRestore = map[killpoint.Step]bool{killpoint.RestoreLaid: true, killpoint.RestoreReplayed: true}

// ofMaintenance are the steps of dropping and repairing. In internal/repository the store dies at each call of these, and a
// model is compared with what is left.
var ofMaintenance = map[killpoint.Step]bool{killpoint.Claimed: true, killpoint.DropListed: true, killpoint.DropDeleted: true, killpoint.RepairRemoved: true}

// TestKillAtEveryStep kills the agent at each named step, at a first and at a later visit, starts it again, and
// compares what the repository then holds with what was committed.
func TestKillAtEveryStep(t *testing.T) {
	for _, step := range killpoint.Steps {
		if duringRestore[step] || ofMaintenance[step] {
			continue
		}
		t.Run(string(step), func(t *testing.T) {
			t.Parallel() // they mostly wait
			s := newShop(t, "wal", 200)
			s.configure("20KiB")
			s.write()
			for _, visit := range visits(step) {
				s.killAt(step, visit)
			}
			s.protect()
			s.protected()
			s.rest()
			s.protected()
			all := s.ledger()
			s.stop()
			if got, want := s.restore("latest"), all[len(all)-1].n; got != want {
				t.Errorf("the repository holds %d orders, %d were committed", got, want)
			}
			s.check("--deep", "--key", s.path("backstay.key"))
		})
	}
}

// visits are the visits to die at. What happens once a run, or only after megabytes or half a minute, has only a first
// one.
func visits(step killpoint.Step) []int {
	switch step {
	case killpoint.KeyPut, killpoint.KeysPut, killpoint.BasePack, killpoint.BaseManifest, killpoint.BaseCommitted, killpoint.LedgerBundled, killpoint.TipsDropped, killpoint.SpoolReleased:
		return []int{1}
	}
	if long() {
		return []int{1, 2, 3, 5, 8, 13}
	}
	return []int{1, 3}
}

// killAt runs the agent until it dies at the step. What it reported durable before must be in the repository alone.
func (s *shop) killAt(step killpoint.Step, visit int) {
	s.t.Helper()
	s.protect(killing(step, visit))
	if reported := s.dies(step, visit); !reported.IsZero() {
		s.holds(reported)
	}
}

// killing is what the environment says to be killed at a step.
func killing(step killpoint.Step, visit int) string {
	return fmt.Sprintf("BACKSTAY_KILL_AT=%s:%d", step, visit)
}

// dies waits until the agent has died at the step, and gives what it had reported durable.
func (s *shop) dies(step killpoint.Step, visit int) (reported time.Time) {
	s.t.Helper()
	died := make(chan error, 1)
	agent := s.agent
	go func() { died <- agent.Wait() }()
	for limit := time.After(90 * time.Second); ; {
		select {
		case <-died:
			if agent.ProcessState.Exited() {
				s.t.Fatalf("the agent ended by itself before step %s, visit %d: %v", step, visit, agent.ProcessState)
			}
			return reported
		case <-limit:
			s.t.Fatalf("step %s was not visited %d times", step, visit)
		case <-time.After(100 * time.Millisecond):
			if at := s.durable(); at.After(reported) {
				reported = at
			}
		}
	}
}

// TestKillRestore kills a restore at its steps and repeats the same command.
func TestKillRestore(t *testing.T) {
	s := newShop(t, "wal", 100)
	s.write()
	s.protect()
	s.until(30*time.Second, "protection begins", func() bool { return !s.durable().IsZero() })
	s.rest()
	s.protected()
	all := s.ledger()
	s.stop()
	for step := range duringRestore {
		into := filepath.Join(s.dir, string(step))
		c := s.command("restore", "app", "--into", into)
		c.Env = append(os.Environ(), "BACKSTAY_KILL_AT="+string(step))
		if out, err := c.CombinedOutput(); err == nil || c.ProcessState.Exited() {
			t.Fatalf("the restore was not killed at %s: %v\n%s", step, err, out)
		}
		s.run("restore", "app", "--into", into)
		if got, want := s.orders(filepath.Join(into, "app.db")), all[len(all)-1].n; got != want {
			t.Errorf("after a kill at %s the repeated restore holds %d orders of %d", step, got, want)
		}
	}
}
