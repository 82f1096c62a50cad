package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/cluster"
)

// Start implements agent.Server.
func (s *Server) Start(ctx context.Context, as cluster.Role) error {
	s.acting.Lock()
	defer s.acting.Unlock()
	if as == cluster.Primary {
		return s.startPrimary(ctx)
	}
	return s.startStandby(ctx, alone())
}

// startPrimary starts a server that was primary when it ended, as that.
func (s *Server) startPrimary(ctx context.Context) error {
	if row, err := s.ask(ctx, "select pg_is_in_recovery()"); err == nil && row[0] == "f" {
		return s.signal()
	}
	if err := s.Stop(ctx); err != nil { // somebody else started it, as a standby
		return err
	}
	settings := alone()
	settings["restart_after_crash"] = "off"
	if err := s.write(settings); err != nil {
		return err
	}
	if err := os.Remove(s.path(standbySignal)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err := s.launch(ctx)
	return errors.Join(err, s.signal())
}

// startStandby starts a server with settings as a standby. One that runs as one keeps running, with the settings.
func (s *Server) startStandby(ctx context.Context, settings map[string]string) error {
	row, err := s.keptQuery(ctx, "select pg_is_in_recovery()")
	switch {
	case err == nil && row[0][0] == "t":
		return s.apply(ctx, settings)
	case err == nil:
		return fmt.Errorf("start %s as a standby: it runs as primary", s.c.Name)
	}
	pid, perr := postmaster(s.c.Dir)
	if perr != nil {
		return perr
	}
	some := len(processes(s.c.Dir, pid)) > 0
	if some && code(err) != cannotConnectNow && !noSocket(err) {
		return fmt.Errorf("start %s as a standby: it runs, and can't be asked: %w", s.c.Name, err)
	}
	if some { // it is starting, with settings that are not known
		if err := s.Stop(ctx); err != nil {
			return err
		}
	}
	if err := os.Remove(s.path("recovery.signal")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := s.signal(); err != nil {
		return err
	}
	all := map[string]string{"recovery_target_timeline": "latest", "wal_receiver_status_interval": "1s", "hot_standby": "on", "restart_after_crash": "off"}
	for name, value := range settings {
		all[name] = value
	}
	if err := s.write(all); err != nil {
		return err
	}
	return s.launch(ctx)
}

// launch starts the server detached and waits until it can be asked. That ends with ctx, the server does not.
func (s *Server) launch(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	p, err := s.programs()
	if err != nil {
		return err
	}
	arguments, err := s.arguments()
	if err != nil {
		return err
	}
	s.forget()
	cmd := p.Command(s.user, "postgres", append([]string{"-D", s.c.Dir}, arguments...)...)
	cmd.Dir = s.c.Dir // from its first moment on it is known by that
	detached(cmd)
	log, err := os.OpenFile(s.c.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("start the server of %s: %w", s.c.Name, err)
	}
	defer log.Close()
	from := s.logged()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the server of %s: %w", s.c.Name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // for as long as the server runs: it would be left as a zombie
	return s.ready(ctx, ended, from)
}

// unheard is how long a server that runs may have no socket where it should be. It makes that before it does anything that takes long.
const unheard = 15 * time.Second

func (s *Server) ready(ctx context.Context, ended <-chan error, from int64) error {
	heard := time.Now()
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		row, err := s.ask(ctx, "select pg_is_in_recovery()")
		if err == nil && len(row) == 1 {
			return nil
		}
		if !noSocket(err) {
			heard = time.Now()
		}
		if time.Since(heard) > unheard {
			err := fmt.Errorf("start the server of %s: it runs, but is not found where its URL says: %w", s.c.Name, err)
			return errors.Join(err, s.Stop(ctx))
		}
		select {
		case werr := <-ended:
			return fmt.Errorf("start the server of %s: it ended (%v): %s", s.c.Name, werr, s.said(from))
		case <-ctx.Done():
			return fmt.Errorf("wait until the server of %s can be asked: %w", s.c.Name, errors.Join(context.Cause(ctx), err))
		case <-time.After(pause):
		}
	}
}

// logged is how much the server has written to our log: nothing where another one started it.
func (s *Server) logged() int64 {
	info, err := os.Stat(s.c.Log)
	if err != nil {
		return 0
	}
	return info.Size()
}

// said is what the server wrote to our log from an offset on, its end.
func (s *Server) said(from int64) string {
	b, err := os.ReadFile(s.c.Log)
	if err != nil || int64(len(b)) < from {
		return "it left no word"
	}
	b = bytes.TrimSpace(b[from:])
	return string(b[max(0, len(b)-600):])
}

const optsName = "last-arguments"

// arguments are those that the server was last started with, by anybody. The file that has them goes with the data, so a copy is kept aside.
func (s *Server) arguments() ([]string, error) {
	if s.c.Arguments != nil {
		return s.c.Arguments, nil
	}
	b, err := os.ReadFile(s.path("postmaster.opts"))
	if errors.Is(err, os.ErrNotExist) {
		b, err = os.ReadFile(s.aside(optsName))
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read how the server of %s was started: %w", s.c.Name, err)
	}
	return parseOpts(string(b)), nil
}

// remember keeps the arguments of a process that runs aside, once.
func (s *Server) remember(pid int) {
	s.mu.Lock()
	known := s.pid == pid
	s.pid = pid
	s.mu.Unlock()
	if known {
		return
	}
	if err := s.keepArguments(); err != nil {
		s.say("%v", err)
	}
}

func (s *Server) keepArguments() error {
	b, err := os.ReadFile(s.path("postmaster.opts"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = atomicfile.Write(s.aside(optsName), b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep how the server of %s was started: %w", s.c.Name, err)
	}
	return nil
}

// parseOpts reads postmaster.opts: the program's path, then each argument in double quotes. -D is left out.
func parseOpts(text string) []string {
	parts := strings.Split(strings.TrimSpace(text), ` "`)
	var out []string
	for _, p := range parts[1:] {
		out = append(out, strings.TrimSuffix(p, `"`))
	}
	for i := 0; i < len(out); i++ {
		switch {
		case out[i] == "-D" && i+1 < len(out):
			out = append(out[:i], out[i+2:]...)
			i--
		case strings.HasPrefix(out[i], "-D") && len(out[i]) > 2:
			out = append(out[:i], out[i+1:]...)
			i--
		}
	}
	return out
}

// combined runs a program to its end, and kills it where ctx ends first.
func combined(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return "", err
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-done:
		default:
			_ = cmd.Process.Kill() // Wait tells
		}
	})
	err := cmd.Wait()
	close(done)
	stop()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return out.String(), err
}
