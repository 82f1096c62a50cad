package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// Group runs one program together with all that it starts, and ends all of it.
type Group struct {
	Dir     string        // it runs in
	Command []string      // a program, looked for in PATH where it has no slash, else relative to Dir; and its arguments
	Env     []string      // all of its environment
	Grace   time.Duration // between being told to end (SIGTERM) and being killed, when ctx ends; zero kills at once

	// Mark is an entry of Env that nothing else on this host has. Where the system shows environments (Linux), what has left
	// the group is found by it and ended too. "" for none.
	Mark string

	// Output takes what they print, both streams as one; it must not block.
	Output interface{ Write([]byte) (int, error) }
}

// drained is how long output may still come once everything that wrote it was killed.
const drained = 2 * time.Second

// StartError says that the program could not be started at all: it is not there, or is not one.
type StartError struct{ Err error }

func (e *StartError) Error() string { return "start: " + e.Err.Error() }

func (e *StartError) Unwrap() error { return e.Err }

// Run returns when the program has ended and everything that it started is gone. Its children do not outlive it, nor does it
// outlive this process where the system can see to that (Linux). The error is a *StartError, an *exec.ExitError, or that of ctx.
func (g Group) Run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	cmd, err := g.command()
	if err != nil {
		return &StartError{err}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return &StartError{err}
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	read := make(chan struct{})
	go func() {
		defer close(read)
		g.copyFrom(r)
	}()
	err = g.run(ctx, cmd, w)
	select {
	case <-read:
	case <-time.After(drained): // somebody beyond our reach holds the pipe
	}
	return err
}

func (g Group) command() (*exec.Cmd, error) {
	if len(g.Command) == 0 || g.Command[0] == "" {
		return nil, errors.New("no program is named")
	}
	cmd := exec.Command(g.Command[0], g.Command[1:]...)
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	cmd.Dir, cmd.Env = g.Dir, g.Env
	return cmd, nil
}

// run starts cmd on a thread that lives as long as it does: the kernel ends a child with the thread that started it.
func (g Group) run(ctx context.Context, cmd *exec.Cmd, w *os.File) error {
	ended := make(chan error, 1)
	started := make(chan *member, 1)
	go func() {
		defer onOneThread()()
		m, err := join(cmd)
		_ = w.Close() // the child has its own
		started <- m
		if err != nil {
			ended <- &StartError{err}
			return
		}
		ended <- m.finish(cmd)
	}()
	m := <-started
	if m == nil {
		return <-ended
	}
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		m.end(ended, g.Grace)
		err = context.Cause(ctx)
	}
	if g.Mark != "" {
		EndMarked(g.Mark)
	}
	m.close()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", g.Command[0], err)
	}
	return err
}

// end tells all of the group to end, and kills what does not within the grace.
func (m *member) end(ended <-chan error, grace time.Duration) {
	if grace > 0 {
		m.terminate()
		select {
		case <-ended:
			return
		case <-time.After(grace):
		}
	}
	m.kill()
	<-ended
}

func (g Group) copyFrom(r *os.File) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := r.Read(buffer)
		if n > 0 && g.Output != nil {
			_, _ = g.Output.Write(buffer[:n]) // what is told of a program is no reason to end it
		}
		if err != nil {
			return
		}
	}
}
