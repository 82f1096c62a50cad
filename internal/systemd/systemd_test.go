//go:build linux

package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen is a service manager's socket; next is the next message on it.
func listen(t *testing.T, address string) (next func() string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	return func() string {
		t.Helper()
		buffer := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}
}

func manager(t *testing.T) Manager {
	t.Helper()
	m, err := FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shortDir is a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestTheManagerHearsWhatIsSaid(t *testing.T) {
	for kind, address := range map[string]string{"path": filepath.Join(shortDir(t), "notify"), "abstract": "@backstay-" + strconv.Itoa(os.Getpid())} {
		t.Run(kind, func(t *testing.T) {
			next := listen(t, address)
			m := manager(t)
			for _, step := range []struct {
				say  func() error
				want string
			}{
				{m.Ready, "READY=1"},
				{func() error { return m.Status("3 sources\nREADY=0") }, "STATUS=3 sources READY=0"},
				{m.Alive, "WATCHDOG=1"},
				{m.Stopping, "STOPPING=1"},
			} {
				if err := step.say(); err != nil {
					t.Fatal(err)
				}
				if got := next(); got != step.want {
					t.Errorf("heard %q, want %q", got, step.want)
				}
			}
		})
	}
}

func TestAReloadCarriesItsTime(t *testing.T) {
	next := listen(t, filepath.Join(shortDir(t), "notify"))
	if err := manager(t).Reloading(); err != nil {
		t.Fatal(err)
	}
	first, second, _ := strings.Cut(next(), "\n")
	usec, err := strconv.ParseInt(strings.TrimPrefix(second, "MONOTONIC_USEC="), 10, 64)
	if first != "RELOADING=1" || err != nil || usec <= 0 {
		t.Errorf("heard %q %q, %v", first, second, err)
	}
	now, _ := monotonic()
	if age := now - time.Duration(usec)*time.Microsecond; age < 0 || age > time.Minute {
		t.Errorf("the time is %v old", age)
	}
}

func TestWithoutAManagerNothingIsSaid(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "1000")
	m := manager(t)
	for _, say := range []func() error{m.Ready, m.Reloading, m.Stopping, m.Alive, func() error { return m.Status("well") }} {
		if err := say(); err != nil {
			t.Error(err)
		}
	}
	if m.Listens() || m.Watchdog() != 0 {
		t.Errorf("manager %+v", m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Watch(ctx, func() error { t.Error("it was asked"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("watch: %v", err)
	}
}

func TestWhatTheEnvironmentSaysOfTheWatchdog(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "@x")
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
		fails     bool
	}{
		{"30000000", "", 30 * time.Second, false},
		{"30000000", strconv.Itoa(os.Getpid()), 30 * time.Second, false},
		{"30000000", "1", 0, false}, // it is meant for the parent
		{"", "", 0, false},
		{"soon", "", 0, true},
		{"-1", "", 0, true},
		{"9223372036854775807", "", 0, true},
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if m, err := FromEnvironment(); m.Watchdog() != c.want || (err != nil) != c.fails || !m.Listens() {
			t.Errorf("%q %q: %v, %v", c.usec, c.pid, m.Watchdog(), err)
		}
	}
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("NOTIFY_SOCKET", "vsock:2:1")
	if m, err := FromEnvironment(); err == nil || m.Listens() {
		t.Errorf("an address that is not spoken: %v", err)
	}
}

// TestTheWatchdogHearsOfNobodyWhoIsNotWell lets a daemon hang: from then on there is a status and no sign of life.
func TestTheWatchdogHearsOfNobodyWhoIsNotWell(t *testing.T) {
	next := listen(t, filepath.Join(shortDir(t), "notify"))
	t.Setenv("WATCHDOG_USEC", "30000")
	var stuck atomic.Bool
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- manager(t).Watch(ctx, func() error {
			if stuck.Load() {
				return errors.New("the scheduler has not looked for 90s")
			}
			return nil
		})
	}()
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("heard %q", got)
		}
	}
	stuck.Store(true)
	var heard []string
	for len(heard) < 20 && !slices.Contains(heard, "STATUS=not well: the scheduler has not looked for 90s") {
		heard = append(heard, next())
	}
	for range 3 {
		if got := next(); got == "WATCHDOG=1" {
			t.Errorf("heard %q after %q", got, heard)
		}
	}
	cancel()
	for { // its last message may wait for room
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("watch: %v", err)
			}
			return
		case <-time.After(10 * time.Second):
			t.Fatal("watch does not end")
		}
	}
}

// TestAManagerThatDoesNotReadBlocksNothing fills its queue.
func TestAManagerThatDoesNotReadBlocksNothing(t *testing.T) {
	listen(t, filepath.Join(shortDir(t), "notify"))
	m := manager(t)
	began := time.Now()
	var err error
	for i := 0; i < 100_000 && err == nil; i++ {
		err = m.Alive()
	}
	if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took > 30*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if err := os.WriteFile(filepath.Join(dir, "slack"), []byte("geheim\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, maxCredential+1), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if got, err := Credential("slack"); string(got) != "geheim\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for name, absent := range map[string]bool{"smtp": true, "": false, ".": false, "..": false, "../x": false, "/etc/passwd": false, "link": false, "large": false} {
		_, err := Credential(name)
		var e *CredentialError
		if !errors.As(err, &e) || e.Name != name || errors.Is(err, fs.ErrNotExist) != absent || !strings.Contains(e.Hint(), "LoadCredential="+name+":") {
			t.Errorf("%q: %v", name, err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := Credential("slack"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(fmt.Sprint(err), "without credentials") {
		t.Errorf("outside of systemd: %v", err)
	}
}
