package server_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/backstaydb/backstay/internal/engine/postgres/server"
	"github.com/backstaydb/backstay/internal/scratch"
)

// place is a folder that the server's user may enter.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "backstay-server-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// cluster makes a data directory.
func cluster(t *testing.T) (server.Programs, string) {
	t.Helper()
	p, err := server.Find(15)
	if err != nil {
		if os.Getenv("BACKSTAY_NEED_SERVERS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := filepath.Join(place(t), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	u, err := server.Owner(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Give(dir); err != nil {
		t.Fatal(err)
	}
	if out, err := p.Command(u, "initdb", "-D", dir, "-U", "alice", "-A", "scram-sha-256", "--pwfile", password(t), "-N", "--no-instructions").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	return p, dir
}

func password(t *testing.T) string {
	t.Helper()
	name := filepath.Join(place(t), "password")
	if err := os.WriteFile(name, []byte("secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAPrivateServerRunsAndLeavesNothing(t *testing.T) {
	t.Setenv("PGPORT", "1")
	t.Setenv("BACKSTAY_SECRET", "not for the server")
	p, dir := cluster(t)
	s, err := server.Start(t.Context(), server.Config{Programs: p, Dir: dir, Settings: map[string]string{"shared_buffers": "16MB"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(t.Context(), server.Immediate)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.SocketDir())
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket folder: %v, %v; want 0700", info, err)
	}
	for name, want := range map[string]string{"listen_addresses": "", "data_directory": dir, "shared_buffers": "16MB", "archive_mode": "off", "synchronous_standby_names": ""} {
		if got := ask(t, s, "show "+name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if env := ask(t, s, "select (position('not for the server' in pg_read_binary_file('/proc/self/environ')))::text"); env != "0" {
		t.Errorf("the server sees our environment: %s", env)
	}
	if err := s.Stop(t.Context(), server.Fast); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context(), server.Fast); err != nil {
		t.Error("second stop:", err)
	}
	if _, err := os.Stat(s.SocketDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket folder is left: %v", err)
	}
	if state := control(t, p, dir); state != "shut down" {
		t.Errorf("stopped server is %q, want clean", state)
	}
}

// ask gives the one value of a query.
func ask(t *testing.T, s *server.Server, query string) (value string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.DSN("alice", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.QueryRow(t.Context(), query).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// control is the state in pg_control.
func control(t *testing.T, p server.Programs, dir string) string {
	t.Helper()
	out, err := p.Command(server.User{}, "pg_controldata", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(l, "Database cluster state:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	p, dir := cluster(t)
	s, err := server.Start(t.Context(), server.Config{Programs: p, Dir: dir, Settings: map[string]string{"shared_preload_libraries": "no_such_library"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(t.Context(), server.Immediate)
	err = s.Ready(t.Context())
	var ended *server.ExitError
	if !errors.As(err, &ended) || !strings.Contains(ended.Reason, "no_such_library") {
		t.Fatalf("Ready: %v, want an ExitError that names the library", err)
	}
}

func TestAKilledServerHasEnded(t *testing.T) {
	p, dir := cluster(t)
	s, err := server.Start(t.Context(), server.Config{Programs: p, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if s.Err() == nil {
		t.Error("a killed server has no error")
	}
	if state := control(t, p, dir); state != "in production" {
		t.Errorf("killed server is %q", state)
	}
}

func TestOutliving(t *testing.T) {
	p, dir := cluster(t)
	log := filepath.Join(place(t), "log")
	s, err := server.Start(t.Context(), server.Config{Programs: p, Dir: dir, LogFile: log, Own: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(t.Context(), server.Immediate)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	sweep(t, s)
	if _, err := os.Stat(filepath.Join(s.SocketDir(), ".s.PGSQL.5432")); err != nil {
		t.Errorf("the socket of a server that runs was swept: %v", err)
	}
	if _, err := pgx.Connect(t.Context(), s.DSN("alice", "postgres")); err == nil {
		t.Error("the access rules of the data directory do not count")
	}
	u, err := server.Owner(dir)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := p.Command(u, "pg_ctl", "stop", "-D", dir, "-m", "fast").CombinedOutput(); err != nil {
		t.Fatalf("pg_ctl stop: %v\n%s", err, out)
	}
	select {
	case <-s.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	if !strings.Contains(s.Tail(), "database system is shut down") {
		t.Errorf("log: %s", s.Tail())
	}
	sweep(t, s)
	if _, err := os.Stat(s.SocketDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket folder of a server that has ended is not swept: %v", err)
	}
}

// sweep does what the start of another server does first.
func sweep(t *testing.T, s *server.Server) {
	t.Helper()
	_, _ = scratch.Sweep(filepath.Dir(s.SocketDir())) // other users' folders may lie there
}

func TestFindSaysWhatToInstall(t *testing.T) {
	t.Setenv(server.BinVariable, "")
	_, err := server.Find(9)
	var missing *server.MissingError
	if !errors.As(err, &missing) || !strings.Contains(missing.Hint(), "postgresql-9") {
		t.Errorf("Find: %v", err)
	}
}

func TestAFolderThatIsClosedToTheUserIsNamed(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root runs servers as somebody else")
	}
	p, dir := cluster(t)
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := server.Start(t.Context(), server.Config{Programs: p, Dir: dir})
	var closed *server.UserError
	if !errors.As(err, &closed) || !strings.Contains(closed.Hint(), filepath.Dir(dir)) {
		t.Fatalf("Start: %v, want the folder that is closed", err)
	}
}

// TestDeath kills a process that has started a server, and expects the server to end.
func TestDeath(t *testing.T) {
	if dir := os.Getenv("SERVER_TEST_DIR"); dir != "" {
		p, err := server.Find(15)
		if err != nil {
			t.Fatal(err)
		}
		s, err := server.Start(t.Context(), server.Config{Programs: p, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("ready\n")
		select {}
	}
	_, dir := cluster(t)
	cmd := exec.Command(os.Args[0], "-test.run", "^TestDeath$")
	cmd.Env = append(os.Environ(), "SERVER_TEST_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for range 200 {
		if _, err := os.Stat(filepath.Join(dir, "postmaster.pid")); errors.Is(err, os.ErrNotExist) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the server goes on after the death of who started it")
}
