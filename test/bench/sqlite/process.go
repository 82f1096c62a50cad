package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const stopTimeout = 2 * time.Minute

// process is one child: a program that was started, its output in a file, its memory watched.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string
	done   chan struct{} // closed when it has ended; the fields below are set then
	err    error
	usage  usage
	asked  bool // to stop: then the way it ended is no error
	cancel context.CancelFunc
}

// usage is what a process has cost.
type usage struct {
	Wall time.Duration
	CPU  time.Duration // user and system
	Peak int64         // bytes: VmHWM, the peak resident set; zero where /proc is not there
}

// start runs a program in dir with extra environment. Its output goes to a file beside the data.
func (b *bench) start(ctx context.Context, dir string, env []string, name string, args ...string) (*process, error) {
	log, err := os.CreateTemp(b.work, filepath.Base(name)+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	ctx, cancel := context.WithCancel(ctx)
	p := &process{name: filepath.Base(name) + " " + firstWord(args), log: log.Name(), done: make(chan struct{}), cancel: cancel}
	p.cmd = exec.CommandContext(ctx, name, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, log, log
	p.cmd.Env = append(append(os.Environ(), "NO_COLOR=1"), env...)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	p.cmd.WaitDelay = stopTimeout
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	b.started = append(b.started, p)
	ended := make(chan struct{})
	peak := make(chan int64, 1)
	go func() { peak <- watchPeak(p.cmd.Process.Pid, ended) }()
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
		p.usage.Wall = time.Since(began)
		close(ended)
		p.usage.Peak = <-peak
		p.usage.CPU = p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
		cancel()
	}()
	return p, nil
}

// run starts a program and waits for its end.
func (b *bench) run(ctx context.Context, dir string, env []string, name string, args ...string) (usage, error) {
	p, err := b.start(ctx, dir, env, name, args...)
	if err != nil {
		return usage{}, err
	}
	return p.wait()
}

// wait returns when the process has ended by itself.
func (p *process) wait() (usage, error) {
	<-p.done
	if p.err != nil && !p.asked {
		return p.usage, fmt.Errorf("%s: %w\n%s", p.name, p.err, p.tail())
	}
	return p.usage, nil
}

// stop asks the process to end and waits. One that was stopped before is left as it is.
func (p *process) stop() (usage, error) {
	select {
	case <-p.done:
		return p.wait()
	default:
	}
	p.asked = true
	p.cancel()
	<-p.done
	if errors.Is(p.err, exec.ErrWaitDelay) || p.cmd.ProcessState.ExitCode() < 0 {
		return p.usage, fmt.Errorf("stop %s: %w\n%s", p.name, p.err, p.tail())
	}
	return p.usage, nil
}

// alive returns an error once the process has ended without being asked to.
func (p *process) alive() error {
	select {
	case <-p.done:
		if _, err := p.wait(); err != nil {
			return err
		}
		return fmt.Errorf("%s ended by itself\n%s", p.name, p.tail())
	default:
		return nil
	}
}

// until polls ready every few milliseconds until it is true, the process ends, ctx ends, or limit has passed.
func (p *process) until(ctx context.Context, limit time.Duration, what string, ready func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		if ok, err := ready(); err != nil || ok {
			return err
		}
		if err := errors.Join(ctx.Err(), p.alive()); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: no %s after %v\n%s", p.name, what, limit, p.tail())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// tail is the end of its output, for an error.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-15):], []byte("\n")))
}

// firstWord is the subcommand, for messages.
func firstWord(args []string) string {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return ""
	}
	return args[0]
}
