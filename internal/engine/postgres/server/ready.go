package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// State is what a postmaster says about itself (src/include/utils/pidfile.h).
type State string

// The states of a postmaster.
const (
	Starting State = "starting"
	Standby  State = "standby" // it replays and takes no connections
	Ready    State = "ready"   // it takes connections, writing ones or, as a hot standby, reading ones
	Stopping State = "stopping"
)

// State reads what the postmaster says now: the eighth line of postmaster.pid. It is "" before it says anything.
func (s *Server) State() State {
	b, err := os.ReadFile(filepath.Join(s.config.Dir, "postmaster.pid"))
	if err != nil {
		return ""
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 8 || strings.TrimSpace(lines[0]) != strconv.Itoa(s.PID()) {
		return ""
	}
	return State(strings.TrimSpace(lines[7]))
}

// Ready waits until it takes connections. A server that ends first gives an *ExitError. A server with hot_standby off
// takes none before all is replayed, however long that takes: ctx is the only limit.
func (s *Server) Ready(ctx context.Context) error {
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if s.State() == Ready {
			return nil
		}
		select {
		case <-s.child.done:
			return s.Err()
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL in %s, which is %s: %w", s.config.Dir, s.lastState(), context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

func (s *Server) lastState() State {
	if st := s.State(); st != "" {
		return st
	}
	return Starting
}
