// Package redistest starts Redis servers for tests, each in a folder and on a port of its own. Where the program is missing a test is skipped, or
// failed if BACKSTAY_NEED_SERVERS is set.
package redistest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/freeport"
)

// Password that every server wants.
const Password = "pass word"

// Server is one server. It is stopped when the test ends.
type Server struct {
	Port int
	run  *exec.Cmd
}

// Address is where it takes connections.
func (s *Server) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// New starts a server that keeps nothing.
func New(t testing.TB) *Server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("BACKSTAY_NEED_SERVERS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s := &Server{Port: freeport.Port(t)}
	s.run = exec.Command(program, "--port", fmt.Sprint(s.Port), "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--requirepass", Password, "--masterauth", Password,
		"--repl-diskless-sync-delay", "0")
	if err := s.run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err = Say(s.Address(), "PING"); err == nil {
			return s
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// Follow has the server replicate from another one.
func (s *Server) Follow(t testing.TB, primary *Server) {
	t.Helper()
	s.Exec(t, fmt.Sprintf("REPLICAOF 127.0.0.1 %d", primary.Port))
}

// Promote has a replica take writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.Exec(t, "REPLICAOF NO ONE")
}

// Exec says one command.
func (s *Server) Exec(t testing.TB, command string) string {
	t.Helper()
	out, err := Say(s.Address(), command)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return out
}

// Say logs in at an address, says one command as a person types it, and returns the answer as it comes.
func Say(address, command string) (string, error) {
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "AUTH \"%s\"\r\n%s\r\nQUIT\r\n", Password, command); err != nil {
		return "", err
	}
	all, err := io.ReadAll(c)
	if err != nil {
		return "", err
	}
	login, rest, _ := strings.Cut(string(all), "\r\n")
	answer, ended := strings.CutSuffix(rest, "+OK\r\n")
	for _, text := range []string{login, answer} {
		if strings.HasPrefix(text, "-") {
			return "", errors.New(strings.TrimSpace(text[1:]))
		}
	}
	if !ended {
		return "", fmt.Errorf("the answer is cut: %q", all)
	}
	return strings.TrimSpace(answer), nil
}

// Kill ends it as a crash does.
func (s *Server) Kill() {
	_ = s.run.Process.Kill() // it may have ended
	_ = s.run.Wait()
}
