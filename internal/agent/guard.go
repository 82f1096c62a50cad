package agent

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/backstaydb/backstay/internal/proxy"
)

// Guard is the main loop of the guard process: it stops the server when the deadline of its agent has passed, whether the agent is alive, dead or
// frozen, and goes on stopping it while it comes back. It ends with ctx, at once where another guard has this file, and by itself when
// no agent has written for a minute and the server may not be primary. halt stops the server as in a crash; told takes what people should
// know. w may be nil.
//
// A guard holds no state of its own, so it can be replaced at any time; an agent's upgrade lets it run.
func Guard(ctx context.Context, path string, halt func(context.Context) error, w *Watchdog, told func(string)) error {
	d, err := OpenDeadline(path)
	if err != nil {
		return err
	}
	defer d.Close()
	unlock, err := lockGuard(path)
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	defer unlock()
	defer w.release()
	steady()
	tick := time.NewTicker(guarding)
	defer tick.Stop()
	g := guard{d: d, halt: halt, watchdog: w, told: told, now: func() time.Duration { return time.Duration(proxy.Now()) }}
	for g.look(ctx) {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return nil
}

const (
	guarding = 20 * time.Millisecond
	deserted = time.Minute
)

type guard struct {
	d        *Deadline
	halt     func(context.Context) error
	watchdog *Watchdog
	told     func(string)
	now      func() time.Duration
	stopped  time.Duration // deadline for which the server was stopped
}

// look reports false when there is nothing left to guard.
func (g *guard) look(ctx context.Context) bool {
	until, leads, ok := g.d.Read()
	left := until - g.now()
	switch {
	case !ok || !leads:
		g.watchdog.release()
		return ok && left > -deserted
	case left > 0:
		if err := g.watchdog.pet(left); err != nil {
			g.told("guard: where this host hangs as a whole nothing stops its server: " + err.Error())
		}
		return true
	}
	// The agent of a server that was stopped in time says so, if it can: then leads is no more.
	ctx, cancel := context.WithTimeout(ctx, stopping)
	defer cancel()
	if err := g.halt(ctx); err != nil {
		g.told("guard: the tenure is over, and the server does not stop: " + err.Error())
		return true
	}
	g.watchdog.release()
	if g.stopped != until {
		g.stopped = until
		g.told(fmt.Sprintf("guard: server stopped, %s after its tenure", (g.now() - until).Round(time.Millisecond)))
	}
	return true
}

// GuardProcess keeps a guard running beside an agent: another process, so that it lives when the agent does not.
type GuardProcess struct {
	Path    string           // of the Deadline
	Command func() *exec.Cmd // the program that calls Guard with this Path; it is started detached
	Told    func(string)
}

// Run starts the guard where none runs, again and again, until ctx ends. It leaves it running.
func (g *GuardProcess) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if !g.Alive() {
			if err := g.start(); err != nil {
				g.Told("start the guard: " + err.Error())
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (g *GuardProcess) start() error {
	cmd := g.Command()
	alone(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // or it would be left as a zombie; how it ends shows in Alive
	return nil
}

// Alive reports whether a guard runs.
func (g *GuardProcess) Alive() bool { return guardRuns(g.Path) }

var errGuarded = errors.New("another guard has it")
