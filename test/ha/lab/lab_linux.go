package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// prefix begins the names of all namespaces; the process that made them follows.
const prefix = "backstay-ha-"

// Lab is some hosts on one bridge.
type Lab struct {
	t     testing.TB
	name  string
	hosts map[string]*Host
}

var made atomic.Int64

// New makes hosts. They are gone, with all that ran there, when the test is over. Without the right to make them the test is
// skipped; without the program for it too, unless BACKSTAY_NEED_SERVERS is set: then that is a failure.
func New(t testing.TB, hosts ...string) *Lab {
	t.Helper()
	l := &Lab{t: t, name: fmt.Sprintf("%s%d-%d-", prefix, os.Getpid(), made.Add(1)), hosts: map[string]*Host{}}
	if _, err := exec.LookPath("ip"); err != nil && os.Getenv("BACKSTAY_NEED_SERVERS") != "" {
		t.Fatal(err)
	}
	if why := possible(); why != "" {
		t.Skip(why)
	}
	sweep()
	t.Cleanup(l.close)
	l.namespace("bridge")
	l.ip("-n", l.name+"bridge", "link", "add", "br0", "type", "bridge")
	l.ip("-n", l.name+"bridge", "link", "set", "br0", "up")
	for i, name := range hosts {
		h := &Host{Name: name, IP: fmt.Sprintf("10.77.0.%d", 10+i), lab: l, namespace: l.namespace(name), cuts: map[string]bool{}, refuses: map[string]bool{}}
		port := "port" + strconv.Itoa(i)
		l.ip("-n", h.namespace, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", l.name+"bridge")
		l.ip("-n", l.name+"bridge", "link", "set", port, "master", "br0", "up")
		l.ip("-n", h.namespace, "addr", "add", h.IP+"/24", "dev", "eth0")
		l.ip("-n", h.namespace, "link", "set", "lo", "up")
		l.ip("-n", h.namespace, "link", "set", "eth0", "up")
		l.hosts[name] = h
	}
	return l
}

// Host is one of them.
func (l *Lab) Host(name string) *Host {
	l.t.Helper()
	h := l.hosts[name]
	if h == nil {
		l.t.Fatalf("there is no host %s", name)
	}
	return h
}

// possible says why a lab can't be made, "" if it can.
func possible() string {
	if _, err := exec.LookPath("ip"); err != nil {
		return "hosts as network namespaces need the program ip: install iproute2"
	}
	if os.Geteuid() != 0 {
		return "hosts as network namespaces can only be made by root"
	}
	name := fmt.Sprintf("%stry-%d", prefix, os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		return fmt.Sprintf("this machine lets nobody make network namespaces: %s", strings.TrimSpace(string(out)))
	}
	out, err := exec.Command("ip", "-n", name, "link", "add", "br0", "type", "bridge").CombinedOutput()
	_ = exec.Command("ip", "netns", "del", name).Run() // what is left is swept by the next one
	if err != nil {
		return fmt.Sprintf("this machine has no bridges: %s", strings.TrimSpace(string(out)))
	}
	return ""
}

func (l *Lab) namespace(host string) string {
	l.t.Helper()
	l.ip("netns", "add", l.name+host)
	return l.name + host
}

func (l *Lab) ip(arguments ...string) {
	l.t.Helper()
	if out, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %s: %v: %s", strings.Join(arguments, " "), err, out)
	}
}

func (l *Lab) close() {
	for _, h := range l.hosts {
		h.Kill()
	}
	remove(l.name)
}

// sweep removes what test processes left that were killed.
func sweep() {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return
	}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, ours := strings.CutPrefix(name, prefix)
		pid, _, _ := strings.Cut(strings.TrimPrefix(rest, "try-"), "-")
		n, err := strconv.Atoi(pid)
		if ours && err == nil && syscall.Kill(n, 0) != nil {
			for _, left := range inNamespace(name) {
				_ = syscall.Kill(left, syscall.SIGKILL) // it may have ended
			}
			_ = exec.Command("ip", "netns", "del", name).Run() // somebody else may have done so
		}
	}
}

// remove removes the namespaces whose names begin so.
func remove(begin string) {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return
	}
	for line := range strings.Lines(string(out)) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(name, begin) {
			_ = exec.Command("ip", "netns", "del", name).Run() // it is swept by the next one
		}
	}
}
