// Package mysqltest starts MariaDB servers for tests, each in a folder and on a port of its own. Where the programs are missing a test is skipped, or
// failed if BACKSTAY_NEED_SERVERS is set.
package mysqltest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/freeport"
)

// Password of the users that New makes.
const Password = "pass word"

// Server is one server. It is stopped when the test ends.
type Server struct {
	Port int
	dir  string
	run  *exec.Cmd
}

// Address is where it takes connections.
func (s *Server) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// program finds one of the server's, which Debian keeps from the PATH of most.
func program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	if os.Getenv("BACKSTAY_NEED_SERVERS") != "" {
		t.Fatalf("there is no %s", name)
	}
	t.Skipf("there is no %s", name)
	return ""
}

var numbers struct {
	sync.Mutex
	last int
}

// New makes and starts a server with a binary log, and users "backstay", who may see how it replicates, "copy", who may replicate, and "app".
func New(t testing.TB, options ...string) *Server {
	t.Helper()
	install, daemon := program(t, "mariadb-install-db"), program(t, "mariadbd")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	numbers.Lock()
	numbers.last++
	id := numbers.last
	numbers.Unlock()
	s := &Server{Port: freeport.Port(t), dir: t.TempDir()}
	data := filepath.Join(s.dir, "data")
	if out, err := exec.Command(install, "--no-defaults", "--datadir="+data, "--user="+me.Username, "--auth-root-authentication-method=normal", "--skip-test-db").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	arguments := []string{"--no-defaults", "--datadir=" + data, "--user=" + me.Username, fmt.Sprintf("--port=%d", s.Port), "--bind-address=127.0.0.1", "--socket=socket",
		"--pid-file=" + filepath.Join(s.dir, "pid"), "--log-error=" + filepath.Join(s.dir, "log"), "--log-bin=log", fmt.Sprintf("--server-id=%d", id),
		"--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", "--performance-schema=off"}
	s.run = exec.Command(daemon, append(arguments, options...)...)
	if err := s.run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	s.ready(t)
	s.Exec(t, "SET sql_log_bin=0; "+
		"CREATE USER backstay@localhost IDENTIFIED BY '"+Password+"'; GRANT SLAVE MONITOR ON *.* TO backstay@localhost; "+
		"CREATE USER copy@localhost IDENTIFIED BY '"+Password+"'; GRANT REPLICATION SLAVE ON *.* TO copy@localhost; "+
		"CREATE USER app@localhost IDENTIFIED BY '"+Password+"'; GRANT ALL ON *.* TO app@localhost; REVOKE READ_ONLY ADMIN ON *.* FROM app@localhost")
	return s
}

func (s *Server) ready(t testing.TB) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, err = s.say("SELECT 1"); err == nil {
			return
		}
	}
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	t.Fatalf("the server does not come up: %v\n%s", err, text)
}

// Follow has the server replicate from another one, read-only.
func (s *Server) Follow(t testing.TB, primary *Server) {
	t.Helper()
	s.Exec(t, fmt.Sprintf("SET GLOBAL read_only=1; CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='copy', MASTER_PASSWORD='%s', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1; START SLAVE",
		primary.Port, Password))
}

// Promote has a replica take writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.Exec(t, "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0")
}

// Exec runs SQL as root and returns what it says, without names of columns.
func (s *Server) Exec(t testing.TB, sql string) string {
	t.Helper()
	out, err := s.say(sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func (s *Server) say(sql string) (string, error) { return Say(s.Address(), "root", "", sql) }

// Say runs SQL at an address with the server's own client.
func Say(address, user, password, sql string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	cmd := exec.Command("mariadb", "--no-defaults", "--protocol=tcp", "--host="+host, "--port="+port, "--user="+user, "--connect-timeout=10", "--batch", "--skip-column-names", "--execute="+sql)
	cmd.Env = append(os.Environ(), "MYSQL_PWD="+password)
	var wrong bytes.Buffer
	cmd.Stderr = &wrong
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(wrong.String()))
	}
	return strings.TrimSpace(string(out)), err
}

// Kill ends it as a crash does.
func (s *Server) Kill() {
	_ = s.run.Process.Kill() // it may have ended
	_ = s.run.Wait()
}
