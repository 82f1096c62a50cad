package crash

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestTwoDaemons refuses the second one of the same folder at once, and that of another folder with the same
// repository as soon as it is seen that the first one writes.
func TestTwoDaemons(t *testing.T) {
	s := newShop(t, "wal", 100)
	s.begin()
	s.refused(exitBusy, "another backstay|pid", "protect", "sqlite:./app.db")
	s.refused(exitBusy, "another backstay|pid", "run")

	other := s.path("other")
	key, err := os.ReadFile(s.path("backstay.key"))
	if err := errors.Join(err, os.Mkdir(other, 0o700), os.WriteFile(filepath.Join(other, "backstay.key"), key, 0o600)); err != nil {
		t.Fatal(err)
	}
	s.refusedIn(other, exitBusy, "another backstay is writing there", "protect", "sqlite:../app.db", "--store", "../repo")
	s.whole()
}

// TestTheSameSourceTwice protects one database from two folders into two repositories: neither disturbs the other.
func TestTheSameSourceTwice(t *testing.T) {
	s := newShop(t, "wal", 100)
	s.begin()
	other := &shop{t: t, dir: s.path("other"), mode: s.mode, log: s.log}
	if err := os.Mkdir(other.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	second := exec.Command(binary, "protect", "sqlite:../app.db")
	second.Dir, second.Stdout, second.Stderr = other.dir, s.log, s.log
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	other.agent = second
	t.Cleanup(func() { s.kill(second) })
	other.until(30*time.Second, "the second one begins", func() bool { return !other.durable().IsZero() })
	time.Sleep(3 * time.Second)
	s.protected()
	s.rest()
	s.protected()
	other.protected()
	other.stop()
	s.stop()
	s.holdsAll()
	all := s.ledger()
	if got, want := other.restore("latest"), all[len(all)-1].n; got != want {
		t.Errorf("the second repository holds %d orders of %d", got, want)
	}
	s.check()
	other.check()
}

// TestStateDeleted deletes .backstay between two runs. With the key the host joins its own repository again, and what
// was there before stays recoverable; without the key it is told what to do.
func TestStateDeleted(t *testing.T) {
	s := newShop(t, "wal", 100)
	s.begin()
	time.Sleep(time.Second)
	s.protected()
	before := s.durable()
	s.stop()
	moment := before.UTC().Format(time.RFC3339Nano)
	early := s.restore(moment)
	key, away := s.path("backstay.key"), s.path("away.key")
	if err := errors.Join(os.RemoveAll(s.path(".backstay")), os.Rename(key, away)); err != nil {
		t.Fatal(err)
	}
	s.refused(exitKey, "may not write to it|backstay.key", "protect", "sqlite:./app.db")
	if _, err := os.Stat(key); err == nil {
		t.Error("another key was made for a repository that stands")
	}
	if err := errors.Join(os.RemoveAll(s.path(".backstay")), os.Rename(away, key)); err != nil {
		t.Fatal(err)
	}
	s.protect()
	s.until(60*time.Second, "protection goes on", func() bool { return s.durable().After(before) })
	s.whole()
	if got := s.restore(moment); got != early {
		t.Errorf("of what was protected before %d orders are there, want %d", got, early)
	}
}

// TestSourceReplaced moves another database over the protected one, deletes it, and makes it anew. Each is noticed and
// healed by a new base.
func TestSourceReplaced(t *testing.T) {
	s := newShop(t, "wal", 100)
	s.begin()
	s.protected()
	s.rest()
	s.protected()

	another := &shop{t: t, dir: s.path("another"), mode: "wal", rate: 200, log: s.log}
	if err := os.Mkdir(another.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	another.write()
	another.rest()
	s.removeSource()
	if err := os.Rename(another.path("app.db"), s.path("app.db")); err != nil {
		t.Fatal(err)
	}
	want := len(another.ledger())
	s.until(60*time.Second, "the other database is found", func() bool {
		st, _ := s.status()
		return len(st.Repositories) > 0 && st.Repositories[0].Bases > 1
	})
	s.protected()
	if got := s.restore("latest"); got != want {
		t.Errorf("latest holds %d orders of the other database, want %d", got, want)
	}

	s.removeSource()
	s.until(30*time.Second, "it says that the file is gone", func() bool {
		st, _ := s.status()
		return st.State == "failing" && st.Error != ""
	})
	if err := os.Rename(s.path("ledger"), s.path("ledger.old")); err != nil {
		t.Fatal(err)
	}
	s.write()
	s.whole()
}

func (s *shop) removeSource() {
	s.t.Helper()
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(s.path("app.db" + end)); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.t.Fatal(err)
		}
	}
}

// TestJournalModeSwitched switches to WAL while protected, and to a rollback journal between two runs.
func TestJournalModeSwitched(t *testing.T) {
	s := newShop(t, "delete", 20)
	s.begin()
	s.protected()
	s.rest()
	s.mode, s.rate = "wal", 100
	s.write()
	time.Sleep(2 * time.Second)
	s.protected()
	s.rest()
	s.protected()
	s.stop()
	s.holdsAll()
	s.mode, s.rate = "delete", 20
	s.write()
	s.protect()
	s.until(60*time.Second, "protection goes on", func() bool { return !s.durable().IsZero() })
	s.whole()
}

// TestLockedDatabase: one that another process keeps for itself is refused with a hint; one that is locked for a while
// is waited for.
func TestLockedDatabase(t *testing.T) {
	s := newShop(t, "wal", 100)
	s.write()
	s.rest()
	release := s.lock("PRAGMA locking_mode=EXCLUSIVE")
	s.refused(exitSource, "locked|locking_mode", "protect", "sqlite:./app.db")
	release()
	s.begin()
	release = s.lock("PRAGMA busy_timeout=30000")
	time.Sleep(2 * time.Second)
	if st, ok := s.status(); !ok || st.State == "failing" {
		t.Errorf("while the database is locked the state is %q, %s", st.State, st.Error)
	}
	release()
	s.whole()
}

// lock holds BEGIN EXCLUSIVE in another process until release is called.
func (s *shop) lock(first string) (release func()) {
	s.t.Helper()
	program := `import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
db.execute(sys.argv[2])
db.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
db.rollback()
db.close()`
	c := exec.Command("python3", "-c", program, s.path("app.db"), first)
	c.Stderr = s.log
	in, err := c.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.kill(c) })
	if _, err := out.Read(make([]byte, 16)); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		in.Close()
		if err := c.Wait(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// tooEarly reports whether a signal ended a program before it handled signals: the system did, or Go's runtime, which ends with 2.
func tooEarly(code int) bool { return code == -1 || code == 2 }

// TestSignals ends the agent by SIGTERM and SIGINT at any moment of its life; it ends in order, with 0 or 130, and
// nothing is lost. On a busy machine a program may not have come to its first line after a tenth of a second or two: one that said
// nothing by then had nothing to put in order.
func TestSignals(t *testing.T) {
	s := newShop(t, "wal", 200)
	s.write()
	said := func() int64 {
		info, err := s.log.Stat()
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for i := range times(12, 100) {
		before := said()
		s.protect()
		time.Sleep(time.Duration(i*i) * 7 * time.Millisecond)
		if err := s.agent.Process.Signal([]os.Signal{syscall.SIGTERM, syscall.SIGINT}[i%2]); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		_ = s.agent.Wait()
		if code := s.agent.ProcessState.ExitCode(); code != 0 && code != exitInterrupted && !(tooEarly(code) && (i < 2 || i < 6 && said() == before)) {
			t.Errorf("a signal after %d ms ended the agent with %d", i*i*7, code)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("it took %v to end", took)
		}
	}
	s.protect()
	s.until(60*time.Second, "protection goes on", func() bool { return !s.durable().IsZero() })
	s.whole()
}
