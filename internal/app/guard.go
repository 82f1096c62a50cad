package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/backstaydb/backstay/internal/agent"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/engine/postgres/member"
)

// guarding is the guard of a member on this host.
type guarding struct {
	deadline *agent.Deadline
	process  *agent.GuardProcess
}

// guard opens the deadline that a member's agent shares with its guard, a process of its own that this binary is started as.
func (m *managed) guard(name, data string) (*guarding, error) {
	h := m.host
	path := deadlinePath(h.memberState(m.name, name))
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	arguments := []string{"guard", path, data}
	if dog := m.config.Members[name].Watchdog; dog != "" {
		if err := checkWatchdog(dog, m.decided.Lease); err != nil {
			return nil, err
		}
		arguments = append(arguments, "--watchdog", dog, "--lease", m.decided.Lease.String())
	}
	d, err := agent.OpenDeadline(path)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, &hostError{err, "guards need Linux: leave guard out, or run this member on Linux"}
	}
	if err != nil {
		return nil, err
	}
	return &guarding{deadline: d, process: &agent.GuardProcess{
		Path: path,
		Command: func() *exec.Cmd {
			cmd := exec.Command(self, arguments...)
			cmd.Args[0], cmd.Stderr = os.Args[0], os.Stderr
			return cmd
		},
		Told: func(text string) { h.Log.Warn(text, "cluster", m.name, "member", name) },
	}}, nil
}

// deadlinePath is a file in memory where there is such a folder: a disk that hangs must not hold up who writes the deadline.
func deadlinePath(state string) string {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err != nil || !info.IsDir() {
		return filepath.Join(state, "deadline")
	}
	sum := sha256.Sum256([]byte(state))
	return filepath.Join(memory, "backstay-"+hex.EncodeToString(sum[:8]), "deadline")
}

// Guard is the guard process of a member: it stops the server in data when the deadline of its agent has passed. It ends with ctx, or when there is
// nothing left to guard. watchdog is a device that it pets where deadlines are renewed for a lease; "": none.
func Guard(ctx context.Context, deadline, data, watchdog string, lease time.Duration, told func(string)) error {
	var w *agent.Watchdog
	if watchdog != "" {
		w = watchdogOf(watchdog, lease)
	}
	return agent.Guard(ctx, deadline, func(ctx context.Context) error { return member.Halt(ctx, data) }, w, told)
}

func watchdogOf(path string, lease time.Duration) *agent.Watchdog {
	c := cluster.Config{Lease: lease}.WithDefaults()
	return &agent.Watchdog{Path: path, Lease: c.Lease, Grace: c.StopGrace}
}

// checkWatchdog refuses a device that can't do what the file says of it.
func checkWatchdog(path string, lease time.Duration) error {
	err := watchdogOf(path, lease).Check()
	for _, c := range []struct {
		why  error
		hint string
	}{
		{agent.ErrNoDevice, "load its driver, or softdog where the host has none (modprobe softdog), or leave watchdog out"},
		{agent.ErrNoRight, "give the user who runs Backstay the right with a udev rule; docs/guide/availability.md has one"},
		{agent.ErrTooShort, "write a lease of 1s or more, or leave watchdog out"},
	} {
		if errors.Is(err, c.why) {
			return &hostError{err, c.hint}
		}
	}
	return err
}
