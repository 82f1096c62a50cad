//go:build unix

package failover_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// server is a real PostgreSQL server of a test.
type server struct {
	t    testing.TB
	dir  string
	port int
	cmd  *exec.Cmd
	done chan struct{}
}

// serverSettings are those of a small server that fails over fast.
const serverSettings = `
fsync = off
shared_buffers = 16MB
max_connections = 100
wal_level = replica
hot_standby = on
max_wal_senders = 10
wal_retrieve_retry_interval = 100ms
unix_socket_directories = ''
listen_addresses = '127.0.0.1'
lc_messages = 'C'
`

// programs is the folder of the newest version that is installed.
var programs = sync.OnceValue(func() string {
	best, at := 0, ""
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin"} {
		found, _ := filepath.Glob(pattern)
		for _, dir := range found {
			n, _ := strconv.Atoi(strings.TrimLeft(filepath.Base(filepath.Dir(dir)), "abcdefghijklmnopqrstuvwxyz@-"))
			if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil && n > best {
				best, at = n, dir
			}
		}
	}
	if at == "" {
		if p, err := exec.LookPath("initdb"); err == nil {
			at = filepath.Dir(p)
		}
	}
	return at
})

func need(t testing.TB) {
	t.Helper()
	if programs() != "" {
		return
	}
	if os.Getenv("BACKSTAY_NEED_SERVERS") != "" {
		t.Fatal("no PostgreSQL server is installed; make packages brings one")
	}
	t.Skip("no PostgreSQL server is installed")
}

// place makes a folder for the servers' user, who may not enter t.TempDir.
func place(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "failover")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if id := owner(t); id != nil {
		if err := os.Chown(dir, int(id.Uid), int(id.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// owner is whom the servers run as where we are root, which they refuse.
func owner(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func command(t testing.TB, dir, name string, arguments ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(programs(), name), arguments...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner(t)}
	return cmd
}

func must(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// long leaves a test out with -short.
func long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("several servers: not with -short")
	}
}

// newServer makes a primary and starts it. settings are added to its own.
func newServer(t testing.TB, settings string) *server {
	t.Helper()
	need(t)
	s := &server{t: t, dir: filepath.Join(place(t), "data"), port: freePort(t)}
	must(t, command(t, "/", "initdb", "-D", s.dir, "-U", "postgres", "-N", "-A", "trust", "--locale=C", "-E", "UTF8"))
	s.configure(serverSettings + settings)
	s.start()
	return s
}

// standby copies a running server to a standby, and starts that. name is what synchronous_standby_names knows.
func (s *server) standby(name string) *server {
	s.t.Helper()
	b := &server{t: s.t, dir: filepath.Join(place(s.t), "data"), port: freePort(s.t)}
	must(s.t, command(s.t, "/", "pg_basebackup", "-D", b.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-U", "postgres", "-c", "fast", "-X", "stream"))
	b.configure(fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=postgres application_name=%s'\n", s.port, name))
	if err := os.WriteFile(filepath.Join(b.dir, "standby.signal"), nil, 0o644); err != nil {
		s.t.Fatal(err)
	}
	b.start()
	return b
}

func (s *server) configure(settings string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(settings)
		_ = f.Close() // what counts is what the server reads
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) start() {
	s.t.Helper()
	log, err := os.CreateTemp(s.t.TempDir(), "log")
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = command(s.t, s.dir, "postgres", "-D", s.dir, "-p", strconv.Itoa(s.port))
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.done = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel ends the child with the thread that made it
		dieWithUs(s.cmd)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait() // it is killed on purpose
		}
		close(s.done)
		_ = log.Close() // it is only for people
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		s.kill()
		if text, err := os.ReadFile(log.Name()); err == nil && s.t.Failed() {
			s.t.Logf("the server at %s said at last:\n%s", s.address(), text[max(0, len(text)-1500):])
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := s.dial(); err == nil {
			closeConn(conn)
			return
		} else if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			s.t.Fatalf("the server does not answer: %v\n%s", err, text)
		}
	}
}

func (s *server) dial() (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return pgx.Connect(ctx, s.url())
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the server may be gone
}

func (s *server) address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

func (s *server) url() string {
	return "postgres://postgres@" + s.address() + "/postgres?sslmode=disable"
}

// exec runs a statement in a session of its own.
func (s *server) exec(statement string) {
	s.t.Helper()
	s.ask(statement)
}

// ask gives the first value of a statement's answer as text.
func (s *server) ask(statement string) string {
	s.t.Helper()
	conn, err := s.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	defer closeConn(conn)
	results, err := conn.PgConn().Exec(context.Background(), statement).ReadAll()
	if err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
	if last := results[len(results)-1]; len(last.Rows) > 0 && len(last.Rows[0]) > 0 {
		return string(last.Rows[0][0])
	}
	return ""
}

// kill ends all processes of the server at one moment, as a crash of its host does.
func (s *server) kill() {
	select {
	case <-s.done:
		return
	default:
	}
	pid := s.cmd.Process.Pid
	_ = syscall.Kill(pid, syscall.SIGSTOP) // it may have ended
	all := children(pid)
	for _, child := range all {
		_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended
	}
	_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	<-s.done
	for _, child := range all { // its connections end when it does, which takes a moment
		for deadline := time.Now().Add(5 * time.Second); syscall.Kill(child, 0) == nil && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
	}
}

// stop ends the server as a shutdown of its host does.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGINT) // it may have ended
	<-s.done
}

func (s *server) promote() {
	s.t.Helper()
	if s.ask("select pg_promote(true, 30)") != "t" {
		s.t.Fatal("the standby was not promoted")
	}
}

// children are the processes that pid started.
func children(pid int) (all []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(pid) {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			all = append(all, n)
		}
	}
	return all
}

// freePort is a port below those of outgoing connections, which is this test's alone until it ends, though its server is stopped meanwhile: the port of UDP with
// its number is held, as Backstay's own tests do.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 15000 + rand.IntN(17767)
		held, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", held.LocalAddr().String())
		if err != nil {
			held.Close()
			continue
		}
		l.Close()
		t.Cleanup(func() { held.Close() })
		return port
	}
	t.Fatal("no port is free")
	return 0
}
