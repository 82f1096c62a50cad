package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Mode is how a server is stopped.
type Mode int

// The ways to stop a server.
const (
	Fast      Mode = iota // ends its clients, writes a checkpoint: the data is clean
	Immediate             // as in a crash: the next start replays the log
)

// ExitError says that a server ended that was not told to, or ended badly.
type ExitError struct {
	Dir    string
	Reason string // its last FATAL or PANIC message, "" if it gave none
	Tail   string // the end of its log
	Err    error  // how the process ended
}

func (e *ExitError) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("PostgreSQL in %s ended: %s", e.Dir, e.Reason)
	}
	return fmt.Sprintf("PostgreSQL in %s ended: %v", e.Dir, e.Err)
}

// Unwrap is how the process ended: an *exec.ExitError.
func (e *ExitError) Unwrap() error { return e.Err }

// errEnded stands for a process that ended with exit code 0.
var errEnded = errors.New("exit code 0")

// Err says how it ended, as an *ExitError; nil while it runs.
func (s *Server) Err() error {
	select {
	case <-s.child.done:
	default:
		return nil
	}
	e := &ExitError{Dir: s.config.Dir, Reason: s.tail.reason(), Tail: s.Tail(), Err: s.child.err}
	if s.config.LogFile != "" {
		e.Reason = reasonIn(e.Tail)
	}
	if e.Err == nil {
		e.Err = errEnded
	}
	return e
}

// patience is how long a server may take to end once it is told to do so at once.
const patience = 10 * time.Second

// Stop ends it, waits for that, and removes what Start made. When ctx ends first it is stopped as in a crash, and after
// ten more seconds it is killed. A server that had ended by itself is no error here; see Err. Stop may be called again.
func (s *Server) Stop(ctx context.Context, m Mode) error {
	err := s.stop(ctx, m)
	if cerr := s.folder.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("stop PostgreSQL in %s: %w", s.config.Dir, err)
	}
	return nil
}

func (s *Server) stop(ctx context.Context, m Mode) error {
	if s.Err() != nil {
		return nil
	}
	switch err := s.child.tell(s.config, m); {
	case errors.Is(err, os.ErrProcessDone):
		<-s.child.done // somebody else ended it just now
		return nil
	case err != nil:
		return err
	}
	select {
	case <-s.child.done:
		return s.child.ended(m)
	case <-ctx.Done():
	}
	if m == Fast {
		_ = s.child.tell(s.config, Immediate) // it may end meanwhile, and the kill below needs no leave
	}
	select {
	case <-s.child.done:
	case <-time.After(patience):
		_ = s.child.cmd.Process.Kill()
		<-s.child.done
	}
	return context.Cause(ctx)
}

// Kill kills the postmaster as kill -9 does: its processes notice and end by themselves, a moment later.
func (s *Server) Kill() error {
	if s.Err() == nil {
		if err := s.child.cmd.Process.Kill(); err != nil && s.Err() == nil {
			return fmt.Errorf("kill PostgreSQL in %s: %w", s.config.Dir, err)
		}
	}
	<-s.child.done
	return s.folder.close()
}

// Release lets go of a server that was started to outlive this process.
func (s *Server) Release() error {
	if s.config.LogFile == "" {
		return errors.New("release PostgreSQL: it was started to end with this process")
	}
	return nil
}
