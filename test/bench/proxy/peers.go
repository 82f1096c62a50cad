package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// hop is one way to the server.
type hop struct {
	name    string
	address string
	process *exec.Cmd // nil: the server itself
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start starts a hop and waits until it takes connections.
func start(name, address string, program string, arguments ...string) (*hop, error) {
	cmd := exec.Command(program, arguments...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	dieWithUs(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	h := &hop{name, address, cmd}
	for range 100 {
		if c, err := net.Dial("tcp", address); err == nil {
			return h, c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	h.stop()
	return nil, fmt.Errorf("%s takes no connections", name)
}

func (h *hop) stop() {
	if h.process != nil {
		_ = h.process.Process.Signal(os.Interrupt)
		_ = h.process.Wait()
	}
}

func backstay(member, profile string) (*hop, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return start("backstay", address, "/proc/self/exe", "serve", "-listen", address, "-member", member, "-profile", profile)
}

func haproxy(dir, member string) (*hop, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "haproxy.cfg")
	err = os.WriteFile(conf, []byte(fmt.Sprintf(`global
  maxconn 2000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen bench
  bind %s
  server db %s
`, address, member)), 0o644)
	if err != nil {
		return nil, err
	}
	return start("haproxy", address, "haproxy", "-db", "-q", "-f", conf)
}

func pgbouncer(dir, member string) (*hop, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(address)
	toHost, toPort, _ := net.SplitHostPort(member)
	conf := filepath.Join(dir, "pgbouncer.ini")
	users := filepath.Join(dir, "users.txt")
	err = errors.Join(os.WriteFile(users, []byte(`"postgres" ""`+"\n"), 0o644), os.WriteFile(conf, []byte(fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = %s
listen_port = %s
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = session
max_client_conn = 2000
default_pool_size = 100
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
`, toHost, toPort, host, port, users)), 0o644))
	if err != nil {
		return nil, err
	}
	return start("pgbouncer", address, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "pgbouncer", "-q", conf)
}

// cpu is what the process has used so far, with all its threads.
func (h *hop) cpu() (time.Duration, error) {
	if h.process == nil {
		return 0, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("read the processor time: too few fields")
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

// resident is the memory of the process, in bytes.
func (h *hop) resident() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("read the memory of a process: it is not there")
}
