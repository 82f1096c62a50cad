package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/backstaydb/backstay/test/bench/measure"
)

// start runs a program in dir with extra environment. Its output goes to a file beside the data. The end of ctx asks it to
// end.
func (b *bench) start(ctx context.Context, dir string, env []string, name string, args ...string) (*measure.Process, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	c.Env = append(append(os.Environ(), "NO_COLOR=1"), env...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	p, err := measure.Start(c, b.work)
	if err != nil {
		return nil, err
	}
	b.started = append(b.started, p)
	return p, nil
}

// run starts a program and waits for its end.
func (b *bench) run(ctx context.Context, dir string, env []string, name string, args ...string) (measure.Usage, error) {
	p, err := b.start(ctx, dir, env, name, args...)
	if err != nil {
		return measure.Usage{}, err
	}
	return p.Wait()
}

// until polls ready every few milliseconds until it is true, the process ends, ctx ends, or limit has passed.
func until(ctx context.Context, p *measure.Process, limit time.Duration, what string, ready func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		if ok, err := ready(); err != nil || ok {
			return err
		}
		if err := errors.Join(ctx.Err(), p.Alive()); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: no %s after %v\n%s", p, what, limit, p.Tail())
		}
		time.Sleep(5 * time.Millisecond)
	}
}
