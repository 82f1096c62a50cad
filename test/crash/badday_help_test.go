package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Exit codes, as docs/reference/exit-codes.md promises them.
const (
	exitUsage       = 2
	exitConfig      = 3
	exitNotFound    = 4
	exitUnreachable = 5
	exitKey         = 7
	exitBusy        = 8
	exitEnvironment = 9
	exitSource      = 10
	exitInterrupted = 130
)

// refused runs a command that must end with code and say all of words, among them a hint.
func (s *shop) refused(code int, words string, args ...string) {
	s.t.Helper()
	s.refusedIn(s.dir, code, words, args...)
}

func (s *shop) refusedIn(dir string, code int, words string, args ...string) {
	s.t.Helper()
	c := s.command(args...)
	c.Dir = dir
	out, _ := c.CombinedOutput()
	what := "backstay " + strings.Join(args, " ")
	if got := c.ProcessState.ExitCode(); got != code {
		s.t.Errorf("%s ended with %d, want %d\n%s", what, got, code, out)
	}
	for _, w := range append(strings.Split(words, "|"), "error: ", "hint: ") {
		if !strings.Contains(string(out), w) {
			s.t.Errorf("%s does not say %q:\n%s", what, w, out)
		}
	}
}

// begin writes, protects, and waits until something is durable.
func (s *shop) begin() {
	s.t.Helper()
	s.write()
	s.protect()
	s.until(30*time.Second, "protection begins", func() bool { return !s.durable().IsZero() })
}

// whole ends writer and agent, and demands that the repository holds all that was committed.
func (s *shop) whole() {
	s.t.Helper()
	s.protected()
	s.rest()
	s.protected()
	s.stop()
	s.holdsAll()
	s.check()
}

// holdsAll demands that the repository ends where the writer did.
func (s *shop) holdsAll() {
	s.t.Helper()
	all := s.ledger()
	if got, want := s.restore("latest"), all[len(all)-1].n; got != want {
		s.t.Errorf("the repository holds %d orders, %d were committed", got, want)
	}
}

// failing waits until the agent says that a repository fails, with all of words in its error and hint.
func (s *shop) failing(repository, words string) {
	s.t.Helper()
	var said string
	s.until(30*time.Second, repository+" fails with "+words, func() bool {
		st, _ := s.status()
		for _, r := range st.Repositories {
			if r.Name == repository && r.State == "failing" {
				said = r.Error + " " + r.Hint
			}
		}
		for _, w := range strings.Split(words, "|") {
			if !strings.Contains(said, w) {
				return false
			}
		}
		return true
	})
}

// disk mounts a small file system at dir, which is made, and unmounts it at the end.
func (s *shop) disk(dir, size string) string {
	s.t.Helper()
	if os.Getuid() != 0 {
		s.t.Skip("only root can mount a small disk")
	}
	path := s.path(dir)
	if err := os.Mkdir(path, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0700,size="+size, "backstay-test", path).CombinedOutput(); err != nil {
		s.t.Skipf("mounting is not allowed here: %v %s", err, out)
	}
	s.t.Cleanup(func() {
		s.kill(s.agent)
		if err := syscall.Unmount(path, 0); err != nil {
			s.t.Errorf("unmount %s: %v", path, err)
		}
	})
	return path
}

// fill takes all the room that is left below dir, and what others leave while it lasts, and gives it back when free is called.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, ".filling")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	more := func() {
		for {
			if _, err := f.Write(block); err != nil {
				return
			}
		}
	}
	more()
	var filler sync.WaitGroup
	freed := make(chan struct{})
	filler.Go(func() {
		for {
			select {
			case <-freed:
				return
			case <-time.After(20 * time.Millisecond):
				more()
			}
		}
	})
	stop := sync.OnceFunc(func() {
		close(freed)
		filler.Wait()
		_ = f.Close()
	})
	t.Cleanup(stop)
	return func() {
		stop()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
