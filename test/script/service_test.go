//go:build unix

package script

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/api"
)

// service is a daemon as systemd runs it, in a folder of its own.
type service struct {
	t       *testing.T
	dir     string
	daemon  *exec.Cmd
	manager *net.UnixConn // where it says how it does
	heard   []string
}

// newService makes a folder with a database and a file.
func newService(t *testing.T, file string) *service {
	t.Helper()
	dir, err := os.MkdirTemp("", "bs-") // the paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, dir: dir}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("heard %q\nlog:\n%s", s.heard, s.log())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s.sql("app.db", "PRAGMA journal_mode=wal", "CREATE TABLE notes (n INTEGER PRIMARY KEY, text)")
	s.write(file)
	return s
}

func (s *service) write(file string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "backstay.yaml"), []byte(file), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) sql(file string, statements ...string) {
	s.t.Helper()
	if code := runSQL(filepath.Join(s.dir, file), statements); code != 0 {
		s.t.Fatalf("sql %q ended with %d", statements, code)
	}
}

// start begins the daemon with a service manager that listens.
func (s *service) start(env ...string) {
	s.t.Helper()
	address := &net.UnixAddr{Name: filepath.Join(s.dir, "notify"), Net: "unixgram"}
	_ = os.Remove(address.Name)
	conn, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	s.manager = conn
	log, err := os.OpenFile(filepath.Join(s.dir, "run.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.daemon = exec.Command("backstay", "run")
	s.daemon.Dir, s.daemon.Stdout, s.daemon.Stderr = s.dir, log, log
	s.daemon.Env = append(append(os.Environ(), "NOTIFY_SOCKET="+address.Name), env...)
	if err := s.daemon.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// heardEver waits for a message that begins with what, unless one did already.
func (s *service) heardEver(what string) {
	s.t.Helper()
	if !slices.ContainsFunc(s.heard, func(text string) bool { return strings.HasPrefix(text, what) }) {
		s.hear(what)
	}
}

// hear waits for another message that begins with what.
func (s *service) hear(what string) string {
	s.t.Helper()
	buffer := make([]byte, 64<<10)
	if err := s.manager.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	for {
		n, err := s.manager.Read(buffer)
		if err != nil {
			s.t.Fatalf("never heard %s: %v", what, err)
		}
		text := string(buffer[:n])
		s.heard = append(s.heard, text)
		if strings.HasPrefix(text, what) {
			return text
		}
	}
}

// run runs a command beside the daemon and returns its standard output.
func (s *service) run(args ...string) []byte {
	s.t.Helper()
	c := exec.Command("backstay", args...)
	var errs bytes.Buffer
	c.Dir, c.Stderr = s.dir, &errs
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("backstay %s: %v\n%s%s", strings.Join(args, " "), err, out, errs.String())
	}
	return out
}

func (s *service) status() api.Status {
	s.t.Helper()
	var st api.Status
	if err := json.Unmarshal(s.run("status", "--json"), &st); err != nil {
		s.t.Fatal(err)
	}
	return st
}

// until waits until what is so.
func (s *service) until(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(60 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("never: %s", what)
		}
	}
}

// follows waits until a source is followed.
func (s *service) follows(source string) {
	s.t.Helper()
	s.until(source+" is followed", func() bool {
		for _, one := range s.status().Sources {
			if one.Name == source {
				return one.State == "following"
			}
		}
		return false
	})
}

func (s *service) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.daemon.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// stop ends the daemon in order.
func (s *service) stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	if err := s.daemon.Wait(); err != nil {
		s.t.Errorf("the daemon ended with %v", err)
	}
	s.daemon = nil
}

func (s *service) kill() {
	if s.daemon != nil {
		_ = s.daemon.Process.Kill()
		_ = s.daemon.Wait()
	}
}

func (s *service) log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "run.log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

const oneSource = "repositories: { local: { store: ./repo } }\nsources: { app: { url: \"sqlite:./app.db\", repositories: [local], rpo: 10s } }\n"

func TestTheServiceManagerHearsHowTheDaemonDoes(t *testing.T) {
	s := newService(t, oneSource)
	s.start("WATCHDOG_USEC=600000")
	s.hear("STATUS=opening source app, 1 of 1")
	s.hear("READY=1")
	if st := s.status(); !st.Running || st.PID != s.daemon.Process.Pid {
		t.Errorf("ready, and status is %+v", st)
	}
	s.hear("WATCHDOG=1")
	s.heardEver("STATUS=1 source; all promises are kept")
	s.hear("WATCHDOG=1")

	// A daemon that no command reaches gives no sign of life.
	sockets, err := filepath.Glob(filepath.Join(s.dir, ".backstay", "*sock*"))
	if err != nil || len(sockets) == 0 {
		t.Fatalf("sockets %q, %v", sockets, err)
	}
	for _, socket := range sockets {
		if err := os.Remove(socket); err != nil {
			t.Fatal(err)
		}
	}
	s.hear("STATUS=not well: ")
	since := len(s.heard)
	time.Sleep(time.Second)
	s.signal(syscall.SIGTERM)
	s.hear("STOPPING=1")
	for _, text := range s.heard[since:] {
		if text == "WATCHDOG=1" {
			t.Errorf("heard %q", s.heard[since:])
		}
	}
	if err := s.daemon.Wait(); err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
	s.daemon = nil
	if text := s.log(); !strings.Contains(text, "stopped; ") || !strings.HasSuffix(text, "\n") {
		t.Errorf("log %q", text)
	}
}

// TestAReloadLeavesRunningWorkAlone changes the file while a base is taken slowly and the application commits: the base is finished,
// the log has no gap, and what was changed is in force.
func TestAReloadLeavesRunningWorkAlone(t *testing.T) {
	file := func(limit, more string) string {
		return "repositories: { local: { store: ./repo, limit: { rate: " + limit + " } } }\nclasses: { c: { repositories: [local] } }\nsources:\n  app: { url: \"sqlite:./app.db\", class: c }\n" + more
	}
	s := newService(t, file("1GiB", ""))
	s.sql("app.db", "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r WHERE n<6000) INSERT INTO notes (text) SELECT randomblob(1000) FROM r")
	s.sql("other.db", "PRAGMA journal_mode=wal", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")
	s.start()
	s.hear("READY=1")
	s.follows("app")

	s.write(file("2MiB", ""))
	s.signal(syscall.SIGHUP)
	first := s.hear("RELOADING=1")
	if !strings.Contains(first, "\nMONOTONIC_USEC=") {
		t.Errorf("heard %q", first)
	}
	s.hear("READY=1")

	base := exec.Command("backstay", "backup", "app")
	var said bytes.Buffer
	base.Dir, base.Stdout, base.Stderr = s.dir, &said, &said
	began := time.Now()
	if err := base.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- base.Wait() }()
	for i := range 5 {
		s.sql("app.db", fmt.Sprintf("INSERT INTO notes (text) VALUES ('while a base is taken, %d')", i))
		time.Sleep(100 * time.Millisecond)
	}
	s.write(file("2MiB", "  other: { url: \"sqlite:./other.db\", class: c, owner: anna }\n"))
	s.signal(syscall.SIGHUP)
	s.hear("RELOADING=1")
	s.hear("READY=1")
	select {
	case err := <-ended:
		t.Fatalf("the base had ended before the reload: %v\n%s", err, said.String())
	default:
	}
	s.follows("other")
	s.sql("app.db", "INSERT INTO notes (text) VALUES ('the last')")
	if err := <-ended; err != nil {
		t.Fatalf("the base that was taken during the reload: %v\n%s", err, said.String())
	}
	// 6 MB that cannot be compressed at 2 MiB/s, of which the first second's worth goes at once.
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("the base took %v: the limit does not hold", took)
	}

	// A source that goes is let go of; a file that cannot be kept changes nothing.
	s.write(file("2MiB", ""))
	s.signal(syscall.SIGHUP)
	s.hear("RELOADING=1")
	s.hear("READY=1")
	if st := s.status(); len(st.Sources) != 1 || st.Refused != "" {
		t.Errorf("after a source was removed: %+v", st)
	}
	s.write(file("2MiB", "  third: { url: \"sqlite:./none.db\", class: c }\n"))
	s.signal(syscall.SIGHUP)
	s.until("the refusal is shown", func() bool { return strings.Contains(s.status().Refused, "none.db") })
	s.write("sources: [")
	s.signal(syscall.SIGHUP)
	s.until("the refusal is shown", func() bool { return strings.Contains(s.status().Refused, "backstay.yaml") })
	s.sql("app.db", "INSERT INTO notes (text) VALUES ('after all')")
	s.hear("STATUS=1 source; no promise was made for them; backstay.yaml as it lies there is not in force")
	s.stop()

	s.write(file("2MiB", ""))
	var histories []api.History
	if err := json.Unmarshal(s.run("history", "app", "--json"), &histories); err != nil {
		t.Fatal(err)
	}
	if len(histories) != 1 || len(histories[0].Gaps) != 0 || len(histories[0].Windows) != 1 {
		t.Errorf("history %+v", histories)
	}
	s.run("restore", "app", "--into", "back")
	got, want := dump(t, filepath.Join(s.dir, "back", "app.db")), dump(t, filepath.Join(s.dir, "app.db"))
	if got != want {
		t.Errorf("restored %s, want %s", got, want)
	}
	if n := strings.Count(s.log(), "is not in force"); n < 2 {
		t.Errorf("the log tells of %d refusals", n)
	}
	entries := string(s.run("audit", "export"))
	for _, want := range []string{`source other is added`, `source other is removed`, `"what":"config"`, `"outcome":"refused"`} {
		if !strings.Contains(entries, want) {
			t.Errorf("the audit log has no %s:\n%s", want, entries)
		}
	}
}

// dump is what a database holds, in short.
func dump(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("sql", file, "SELECT count(*) || ' ' || sum(n) || ' ' || total(length(text)) || ' ' || max(CASE WHEN length(text) < 100 THEN text END) FROM notes").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// unit are the settings of a unit's section [Service], the last word of each; those that add up are joined.
func unit(t *testing.T, files ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		section := ""
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "[") {
				section = line
			}
			key, value, ok := strings.Cut(line, "=")
			if section != "[Service]" || strings.HasPrefix(line, "#") || !ok {
				continue
			}
			if key == "ReadWritePaths" && all[key] != "" {
				value = all[key] + " " + value
			}
			all[key] = value
		}
	}
	return all
}

// TestTheUnitsLetBackstayDoItsWork: what it writes to is writable, alone and beside a server.
func TestTheUnitsLetBackstayDoItsWork(t *testing.T) {
	for _, c := range []struct {
		files []string
		needs []string // beside the state
		has   map[string]string
	}{
		{[]string{"backstay.service"}, []string{"/tmp"}, map[string]string{"StateDirectory": "backstay", "PrivateTmp": "yes", "Type": "notify"}},
		{[]string{"backstay.service", "backstay-agent.conf"}, []string{"/tmp", "/dev/shm", "/var/lib/postgresql", "/run/postgresql"},
			map[string]string{"StateDirectory": "backstay", "PrivateTmp": "no", "PrivateDevices": "no", "KillMode": "process", "User": "postgres"}},
	} {
		u := unit(t, c.files...)
		for key, want := range c.has {
			if u[key] != want {
				t.Errorf("%v: %s=%s, want %s", c.files, key, u[key], want)
			}
		}
		for _, path := range c.needs {
			own := path == "/tmp" && u["PrivateTmp"] == "yes"
			if u["ProtectSystem"] == "strict" && !own && !slices.Contains(strings.Fields(u["ReadWritePaths"]), path) {
				t.Errorf("%v: nothing can be written to %s", c.files, path)
			}
		}
	}
}

func TestSystemdTakesTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	copied := func(from, to string) {
		b, err := os.ReadFile(filepath.Join("..", "..", "deploy", from))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(dir, to)), 0o755)
		}
		if err == nil {
			b = bytes.ReplaceAll(b, []byte("/usr/local/bin/backstay"), []byte("/bin/true")) // it must be there
			err = os.WriteFile(filepath.Join(dir, to), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dropIn := range []bool{false, true} {
		copied("backstay.service", "backstay.service")
		if dropIn {
			copied("backstay-agent.conf", "backstay.service.d/agent.conf")
		}
		out, err := exec.Command(analyze, "verify", "--recursive-errors=no", filepath.Join(dir, "backstay.service")).CombinedOutput()
		if err != nil || strings.Contains(string(out), "backstay.service") {
			t.Errorf("drop-in %t: %v\n%s", dropIn, err, out)
		}
	}
}
