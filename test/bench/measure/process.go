// Package measure runs programs for benchmarks and says what they cost: with all the processes that they started.
package measure

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Usage is what a program and all the processes that it started and waited for have cost.
type Usage struct {
	Wall   time.Duration
	User   time.Duration
	System time.Duration
	Peak   int64 // bytes: the peaks of the resident sets of all its processes added up, database servers left out
}

// CPU is user and system time.
func (u Usage) CPU() time.Duration { return u.User + u.System }

// Process is one program that runs. Its output goes to a file.
type Process struct {
	name  string
	cmd   *exec.Cmd
	log   string
	done  chan struct{} // closed when it has ended; usage and err are set then
	usage Usage
	err   error
	asked bool
}

// stopTimeout is how long a program may take to end when it is asked to.
const stopTimeout = 2 * time.Minute

// Start starts cmd. Its output goes to a new file in logs.
func Start(cmd *exec.Cmd, logs string) (*Process, error) {
	log, err := os.CreateTemp(logs, filepath.Base(cmd.Path)+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &Process{name: filepath.Base(cmd.Path), cmd: cmd, log: log.Name(), done: make(chan struct{})}
	if len(cmd.Args) > 1 {
		p.name += " " + cmd.Args[1]
	}
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	cmd.Stderr = log
	cmd.WaitDelay = 10 * time.Second
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	ended, peak := make(chan struct{}), make(chan int64, 1)
	go func() { peak <- watch(cmd.Process.Pid, ended) }()
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
		p.usage.Wall = time.Since(began)
		close(ended)
		p.usage.Peak = <-peak
		p.usage.User, p.usage.System = cmd.ProcessState.UserTime(), cmd.ProcessState.SystemTime()
	}()
	return p, nil
}

// String is its name and the first word of its arguments.
func (p *Process) String() string { return p.name }

// Pid is the number that the system knows it by.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when it has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Run starts cmd and waits for its end.
func Run(cmd *exec.Cmd, logs string) (Usage, error) {
	p, err := Start(cmd, logs)
	if err != nil {
		return Usage{}, err
	}
	return p.Wait()
}

// Wait returns when it has ended by itself.
func (p *Process) Wait() (Usage, error) {
	<-p.done
	if p.err != nil && !p.asked {
		return p.usage, fmt.Errorf("%s: %w\n%s", p.name, p.err, p.Tail())
	}
	return p.usage, nil
}

// Stop asks it to end, as Ctrl-C does, and waits.
func (p *Process) Stop() (Usage, error) {
	select {
	case <-p.done:
		return p.Wait()
	default:
	}
	p.asked = true
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return Usage{}, fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return p.usage, nil
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
		return p.usage, fmt.Errorf("stop %s: it went on for %s\n%s", p.name, stopTimeout, p.Tail())
	}
}

// Alive returns an error once it has ended without being asked to.
func (p *Process) Alive() error {
	select {
	case <-p.done:
		if _, err := p.Wait(); err != nil {
			return err
		}
		return fmt.Errorf("%s ended by itself\n%s", p.name, p.Tail())
	default:
		return nil
	}
}

// Tail is the end of its output, for an error.
func (p *Process) Tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-15):], []byte("\n")))
}
