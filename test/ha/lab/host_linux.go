package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Host is a network namespace, and the processes that were started there.
type Host struct {
	Name string
	IP   string

	lab       *Lab
	namespace string

	mu      sync.Mutex
	all     []*Process
	cuts    map[string]bool // addresses to which what is sent vanishes
	refuses map[string]bool // addresses to which nothing can be sent
}

// inside runs f on a thread of its own, which is in the namespace; what f makes is there: sockets, processes. The thread
// ends when f does.
func (h *Host) inside(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked, so that the thread ends with the goroutine
		result <- h.enter(f)
	}()
	return <-result
}

func (h *Host) enter(f func() error) error {
	n, err := os.Open("/run/netns/" + h.namespace)
	if err != nil {
		return err
	}
	defer n.Close()
	if err := unix.Setns(int(n.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network of %s: %w", h.Name, err)
	}
	return f()
}

// Dial connects from the host. address has a numeric host: names would be asked for from elsewhere.
func (h *Host) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.inside(func() error {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens at the host.
func (h *Host) Listen(port int) (l net.Listener, err error) {
	err = h.inside(func() error {
		l, err = net.Listen("tcp", fmt.Sprintf("%s:%d", h.IP, port))
		return err
	})
	return l, err
}

// Process runs on a host.
type Process struct {
	Name string
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts a process on the host. The kernel kills it when the test's process ends.
func (h *Host) Start(name string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{Name: name, cmd: cmd, done: make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the kernel ends the child with the thread that made it
		err := h.enter(cmd.Start)
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is killed on purpose
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s on %s: %w", name, h.Name, err)
	}
	h.mu.Lock()
	h.all = append(h.all, p)
	h.mu.Unlock()
	return p, nil
}

// Run runs a command on the host to its end, and gives what it printed.
func (h *Host) Run(cmd *exec.Cmd) (out []byte, err error) {
	err = h.inside(func() error {
		out, err = cmd.CombinedOutput()
		return err
	})
	return out, err
}

// PID is that of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Wait waits until it has ended.
func (p *Process) Wait() { <-p.done }

// Code is its exit code once it has ended; -1 for one that was killed.
func (p *Process) Code() int { return p.cmd.ProcessState.ExitCode() }

// Ended says whether it has.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Kill is kill -9 of one process, not of those that it started.
func (p *Process) Kill() {
	if !p.Ended() {
		_ = p.cmd.Process.Kill() // it may have ended
	}
	<-p.done
}

// Stop asks it to end and waits.
func (p *Process) Stop(limit time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
		return nil
	case <-time.After(limit):
		p.Kill()
		return fmt.Errorf("%s did not end in %s", p.Name, limit)
	}
}

// Freeze stops one process, and Thaw has it go on.
func (p *Process) Freeze() error { return syscall.Kill(p.PID(), syscall.SIGSTOP) }

// Thaw ends Freeze.
func (p *Process) Thaw() error { return syscall.Kill(p.PID(), syscall.SIGCONT) }

// PIDs are those of all processes of the host, whoever started them.
func (h *Host) PIDs() []int { return inNamespace(h.namespace) }

// Kill is kill -9 of all processes of the host, as when its power is cut. Whatever they wrote and did not sync is kept by
// the kernel, though.
func (h *Host) Kill() {
	h.signal(syscall.SIGSTOP) // nobody starts another one meanwhile
	h.signal(syscall.SIGKILL)
	h.mu.Lock()
	all := h.all
	h.all = nil
	h.mu.Unlock()
	for _, p := range all {
		<-p.done
	}
	for deadline := time.Now().Add(5 * time.Second); len(h.PIDs()) > 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		h.signal(syscall.SIGKILL)
	}
}

// Freeze stops all processes of the host, as when a virtual machine is paused.
func (h *Host) Freeze() { h.signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (h *Host) Thaw() { h.signal(syscall.SIGCONT) }

func (h *Host) signal(s syscall.Signal) {
	for _, pid := range h.PIDs() {
		_ = syscall.Kill(pid, s) // it may have ended
	}
}
