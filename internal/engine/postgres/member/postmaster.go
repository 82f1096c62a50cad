package member

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// postmaster is the process of the server on dir as its postmaster.pid tells it, whoever started it; 0 where none runs.
func postmaster(dir string) (pid int, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the server in %s: %w", dir, err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	if pid, err = strconv.Atoi(strings.TrimSpace(first)); err != nil || pid <= 0 {
		return 0, nil // it is being written
	}
	if !runs(pid, dir) {
		return 0, nil
	}
	return pid, nil
}

const (
	// heeding is how long a postmaster may take to end with those that it knows before all processes are looked for. That look is only short once they
	// have ended: dozens of them end at once, and take all processor time.
	heeding = 100 * time.Millisecond
	// obeying is how long a server may take to stop as in a crash before it is killed.
	obeying = 250 * time.Millisecond
)

// Halt stops the server on dir as in a crash, whoever started it, and returns nil when none of its processes is left: neither one that has
// only just been started, nor one that works on without the others and would still answer its client.
func Halt(ctx context.Context, dir string) error {
	begun := time.Now()
	var known []int            // that ran when processes were last looked for
	next, told := begun, false // when they are looked for again at the latest, and whether all were told to stop
	if pid, err := postmaster(dir); err == nil && pid != 0 && warn(dir, pid) {
		known, next = []int{pid}, begun.Add(heeding)
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 8*time.Millisecond) {
		for len(known) > 0 && !runs(known[0], dir) { // as long as one is left the others need no look
			known = known[1:]
		}
		if now := time.Now(); len(known) == 0 || now.After(next) {
			pid, err := postmaster(dir)
			if err != nil {
				return err
			}
			known = processes(dir, pid)
			switch {
			case len(known) == 0:
				return nil
			case !told:
				quit(dir, known)
				told, next = true, begun.Add(obeying)
			case now.After(next):
				kill(dir, pid, known)
				next = now.Add(time.Second)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stop the server in %s: its processes %v do not end: %w", dir, known, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// Stop implements agent.Server.
func (s *Server) Stop(ctx context.Context) error {
	if err := Halt(ctx, s.c.Dir); err != nil {
		return err
	}
	s.forget()
	return nil
}

// onTheWay is how long a server that is being started may have read its settings and not be seen to work on its data yet.
const onTheWay = 20 * time.Millisecond

// Retire implements agent.Server.
func (s *Server) Retire(ctx context.Context) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	s.acting.Lock()
	defer s.acting.Unlock()
	changed, err := s.disown()
	if err != nil || !changed {
		return err
	}
	time.Sleep(onTheWay) // who was started meanwhile may have read what stood there before
	return s.Stop(ctx)
}

// disown leaves a server that does not run, and has data, so that whoever starts it starts a standby of nobody, and reports whether it was otherwise.
func (s *Server) disown() (changed bool, err error) {
	if s.empty() {
		return false, nil
	}
	if s.lacks(standbySignal) {
		changed = true
		if err := s.signal(); err != nil {
			return changed, err
		}
	}
	text, err := s.autoConf()
	if err != nil || hasSettings(text, alone()) {
		return changed, err
	}
	return true, s.write(alone())
}

// stopCleanly ends the server as its own programs do, so that its data is consistent as it lies.
func (s *Server) stopCleanly(ctx context.Context) error {
	pid, err := postmaster(s.c.Dir)
	if err != nil || pid == 0 {
		return err
	}
	p, err := s.programs()
	if err != nil {
		return err
	}
	cmd := p.Command(s.user, "pg_ctl", "stop", "-D", s.c.Dir, "-m", "fast", "-w", "-t", "60")
	out, err := combined(ctx, cmd)
	if err != nil {
		return fmt.Errorf("stop the server of %s: %w: %.300s", s.c.Name, err, out)
	}
	s.forget()
	return nil
}

// forget lets go of what was known of a process that has ended.
func (s *Server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = ending{}
	s.asked = inquiry{}
}
