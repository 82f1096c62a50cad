package crash

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/backstaydb/backstay/internal/api"
)

// shop is one protected database with its writer, in a folder of its own.
type shop struct {
	t      *testing.T
	dir    string
	mode   string // journal mode
	rate   int    // commits a second
	writer *exec.Cmd
	agent  *exec.Cmd
	log    *os.File
}

// commit is one line of the writer's ledger.
type commit struct {
	n              int
	begun, settled time.Time
}

func newShop(t *testing.T, mode string, rate int) *shop {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CI") != "" || os.Getenv("BACKSTAY_NEED_SERVERS") != "" {
			t.Fatal("python3 is not installed")
		}
		t.Skip("python3 is not installed")
	}
	s := &shop{t: t, dir: t.TempDir(), mode: mode, rate: rate}
	log, err := os.Create(filepath.Join(s.dir, "agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	t.Cleanup(func() {
		s.kill(s.agent)
		s.kill(s.writer)
		log.Close()
		if t.Failed() {
			out, _ := os.ReadFile(log.Name())
			if len(out) > 8000 {
				out = out[len(out)-8000:]
			}
			t.Logf("the agent's last words:\n%s", out)
			keep(t, s.dir)
		}
	})
	return s
}

// keep copies the folder of a failed test to a new one below $BACKSTAY_KEEP, where the environment names it: what random kills
// found does not come again when asked.
func keep(t *testing.T, dir string) {
	below := os.Getenv("BACKSTAY_KEEP")
	if below == "" {
		return
	}
	kept := filepath.Join(below, fmt.Sprintf("%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), time.Now().UnixNano()))
	if err := exec.Command("cp", "-a", dir, kept).Run(); err != nil {
		t.Logf("the failed folder was not kept: %v", err)
		return
	}
	t.Logf("the failed folder is kept in %s", kept)
}

func (s *shop) path(name string) string { return filepath.Join(s.dir, name) }

// configure writes backstay.yaml before the first protect: the defaults with full segments of size.
func (s *shop) configure(size string) {
	s.t.Helper()
	text := "repositories:\n  local: { store: ./repo }\nsources:\n  app: { url: \"sqlite:./app.db\", repositories: [local], segment_size: " + size + " }\n"
	if err := os.WriteFile(s.path("backstay.yaml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// write starts the writer and waits until its first commit stands.
func (s *shop) write() {
	s.t.Helper()
	_ = os.Remove(s.path("ledger.stop"))
	before := len(s.ledger())
	s.writer = exec.Command("python3", "testdata/writer.py", s.path("app.db"), s.path("ledger"), s.mode, fmt.Sprint(s.rate))
	s.writer.Stderr = s.log
	if err := s.writer.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.until(30*time.Second, "the writer commits", func() bool { return len(s.ledger()) > before })
}

// rest lets the writer end in order.
func (s *shop) rest() {
	s.t.Helper()
	if err := os.WriteFile(s.path("ledger.stop"), nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := s.writer.Wait(); err != nil {
		s.t.Fatalf("the writer ended with %v", err)
	}
	s.writer = nil
}

// protect starts the agent; env is added to its environment.
func (s *shop) protect(env ...string) {
	s.t.Helper()
	s.agent = exec.Command(binary, "protect", "sqlite:./app.db")
	s.agent.Dir = s.dir
	s.agent.Stdout, s.agent.Stderr = s.log, s.log
	s.agent.Env = append(os.Environ(), env...)
	if err := s.agent.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// stop ends the agent as Ctrl-C does.
func (s *shop) stop() {
	s.t.Helper()
	if err := s.agent.Process.Signal(syscall.SIGINT); err != nil {
		s.t.Fatal(err)
	}
	if err := s.agent.Wait(); err != nil {
		s.t.Fatalf("the agent ended with %v after an interrupt", err)
	}
	s.agent = nil
}

func (s *shop) kill(c *exec.Cmd) {
	if c != nil && c.Process != nil && c.ProcessState == nil {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

// ledger reads what the writer saw committed.
func (s *shop) ledger() []commit {
	f, err := os.Open(s.path("ledger"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	var all []commit
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var n int
		var begun, settled float64
		if got, _ := fmt.Sscan(lines.Text(), &n, &begun, &settled); got == 3 {
			all = append(all, commit{n, seconds(begun), seconds(settled)})
		}
	}
	return all
}

func seconds(s float64) time.Time { return time.UnixMicro(int64(s * 1e6)) }

// settledBy is the last order that had been committed by t.
func settledBy(all []commit, t time.Time) int {
	last := 0
	for _, c := range all {
		if !c.settled.After(t) {
			last = max(last, c.n)
		}
	}
	return last
}

// begunBy is the last order that can have been committed by t.
func begunBy(all []commit, t time.Time) int {
	last := 0
	for _, c := range all {
		if !c.begun.After(t) {
			last = max(last, c.n)
		}
	}
	return last
}

// status asks the agent; ok is false while it does not answer.
func (s *shop) status() (api.Source, bool) {
	out, err := s.command("status", "--json").Output()
	if err != nil {
		return api.Source{}, false
	}
	var st api.Status
	if err := json.Unmarshal(out, &st); err != nil {
		s.t.Fatalf("status --json printed %q: %v", out, err)
	}
	i := slices.IndexFunc(st.Sources, func(x api.Source) bool { return x.Name == "app" })
	if i < 0 || len(st.Sources[i].Repositories) == 0 {
		return api.Source{}, false
	}
	return st.Sources[i], st.Running
}

// durable is the time up to which the agent says that everything is in the repository.
func (s *shop) durable() time.Time {
	st, ok := s.status()
	if !ok {
		return time.Time{}
	}
	return st.Repositories[0].DurableTime
}

func (s *shop) command(args ...string) *exec.Cmd {
	c := exec.Command(binary, args...)
	c.Dir = s.dir
	return c
}

// restore recovers to target from the repository and the key alone and returns the number of orders found.
func (s *shop) restore(target string) int {
	s.t.Helper()
	dir, err := os.MkdirTemp(s.dir, "restored-")
	if err != nil {
		s.t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c := exec.Command(binary, "restore", "app", "--to", target, "--into", filepath.Join(dir, "data"),
		"--store", s.path("repo"), "--key", s.path("backstay.key"))
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		s.t.Fatalf("restore to %s: %v\n%s", target, err, out)
	}
	return s.orders(filepath.Join(dir, "data", "app.db"))
}

// orders opens a restored database, checks that it is whole and consistent in itself, and counts.
func (s *shop) orders(path string) int {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	var integrity string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&integrity); err != nil || integrity != "ok" {
		s.t.Fatalf("integrity_check of %s: %q, %v", path, integrity, err)
	}
	var total, amount, rows, last, sum, recent int
	row := db.QueryRow(`SELECT t.orders, t.amount, (SELECT count(*) FROM orders), (SELECT coalesce(max(n), 0) FROM orders),
		(SELECT coalesce(sum(n * 7919 % 1000), 0) FROM orders), (SELECT count(*) FROM recent) FROM total t`)
	if err := row.Scan(&total, &amount, &rows, &last, &sum, &recent); err != nil {
		s.t.Fatal(err)
	}
	if rows != total || last != total || sum != amount || recent != min(total, 50) {
		s.t.Fatalf("%s holds half a transaction: total %d/%d, orders %d up to %d summing to %d, recent %d", path, total, amount, rows, last, sum, recent)
	}
	var wrong int
	if err := db.QueryRow(`SELECT count(*) FROM orders WHERE amount <> n * 7919 % 1000 OR note NOT LIKE 'order ' || n || ' %'`).Scan(&wrong); err != nil || wrong > 0 {
		s.t.Fatalf("%s: %d orders hold what was never written (%v)", path, wrong, err)
	}
	return total
}

// until waits for a fact.
func (s *shop) until(limit time.Duration, what string, fact func() bool) {
	s.t.Helper()
	for end := time.Now().Add(limit); !fact(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited %v in vain until %s", limit, what)
		}
	}
}

// protected waits until everything committed so far is in the repository.
func (s *shop) protected() {
	s.t.Helper()
	now := time.Now()
	s.until(60*time.Second, "all is durable", func() bool { return s.durable().After(now) })
}

// check runs the repository check, which must find nothing.
func (s *shop) check(args ...string) {
	s.t.Helper()
	out, err := s.command(append([]string{"check", "app"}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("check %s: %v\n%s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
}
