//go:build unix

package postgres

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine/enginetest"
	"github.com/backstaydb/backstay/internal/engine/postgres/pgtest"
)

// TestAServerProcessThatWasHeldUpIsNoWitness freezes the server's process that sends log, while others commit. When it goes on
// it answers all that it was asked meanwhile before it looks for log: nothing of that may pass for the whole log.
func TestAServerProcessThatWasHeldUpIsNoWitness(t *testing.T) {
	takesLong(t)
	t.Parallel()
	for _, x := range []struct {
		name string
		hba  bool // only replication is let in
	}{{"asked in a session", false}, {"asked for replication", true}} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			c := withSmallFiles(t, 0, nil)
			if x.hba {
				c.HBA(t, "local replication "+pgtest.Backup+" trust\nlocal all "+pgtest.Backup+" reject\nlocal all all trust\n")
				c.Exec(t, "select pg_reload_conf()")
			}
			l := pgtest.NewLedger(t, c, 1)
			s := connect(t, c)
			b := newBook(here(t, s))
			f := follow(t, s, b)
			for range 4 {
				l.Commit(t)
				b.settled(t)
				freeze(t, sender(t, c), func() {
					time.Sleep(1200 * time.Millisecond)
					for range 3 {
						l.Commit(t)
						time.Sleep(50 * time.Millisecond)
					}
				})
			}
			begun := time.Now()
			enginetest.Until(t, waitLimit, "the idle log to be whole", func() bool { return b.at().Time.After(begun) })
			f.stop()
			b.keepsItsWord(t, l)
		})
	}
}

// sender is the server's process that streams log.
func sender(t *testing.T, c *pgtest.Cluster) int {
	t.Helper()
	pid := 0
	enginetest.Until(t, waitLimit, "log to be streamed", func() bool {
		var err error
		pid, err = strconv.Atoi(strings.TrimSpace(c.Ask(t, "select coalesce(max(pid), 0)::text from pg_stat_replication where state in ('streaming', 'catchup')")))
		return err == nil && pid > 0
	})
	return pid
}

// freeze stops a process while meanwhile runs.
func freeze(t *testing.T, pid int, meanwhile func()) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}()
	meanwhile()
}
