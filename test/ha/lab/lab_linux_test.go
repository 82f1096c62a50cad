package lab

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// echo answers at a host with what it is sent.
func echo(t *testing.T, h *Host) string {
	t.Helper()
	l, err := h.Listen(7000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // ends the loop
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				line, _ := bufio.NewReader(c).ReadString('\n')
				_, _ = c.Write([]byte(line)) // the other side may be cut off
			}()
		}
	}()
	return l.Addr().String()
}

// heard says whether what from sends is answered in time.
func heard(from *Host, address string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	c, err := from.Dial(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer c.Close()
	return says(c)
}

func says(c net.Conn) bool {
	_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond)) // it is open
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && line == "hello\n"
}

func TestHostsHearEachOtherUntilTheyAreCut(t *testing.T) {
	l := New(t, "a", "b", "c")
	at := echo(t, l.Host("a"))
	if !heard(l.Host("b"), at) || !heard(l.Host("c"), at) {
		t.Fatal("a is not heard")
	}
	if c, err := (&net.Dialer{Timeout: 200 * time.Millisecond}).Dial("tcp", at); err == nil {
		if says(c) { // some networks take any connection
			t.Error("a is heard from outside")
		}
		_ = c.Close() // nothing more is said
	}
	open, err := l.Host("b").Dial(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	l.Cut("a", "b") // what b sends arrives, the answer does not
	if heard(l.Host("b"), at) || says(open) {
		t.Error("a answers b through the cut")
	}
	if !heard(l.Host("c"), at) {
		t.Error("c is cut off too")
	}
	l.Refuse("c", "a")
	if began := time.Now(); heard(l.Host("c"), at) || time.Since(began) > 200*time.Millisecond {
		t.Error("nobody refuses c")
	}
	l.Isolate("a")
	if heard(l.Host("c"), at) {
		t.Error("a is heard though it is alone")
	}
	l.Heal()
	if !heard(l.Host("b"), at) || !heard(l.Host("c"), at) {
		t.Error("a is not heard after it was healed")
	}
}

func TestAHostIsKilledWithAllThatRunsThere(t *testing.T) {
	l := New(t, "a", "b")
	// A child that its parent has left.
	p, err := l.Host("a").Start("shell", exec.Command("sh", "-c", "setsid sleep 1000 & sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.Host("b").Start("sleep", exec.Command("sleep", "1000"))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); len(l.Host("a").PIDs()) < 3; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes %v", l.Host("a").PIDs())
		}
	}
	l.Host("a").Kill()
	if left := l.Host("a").PIDs(); !p.Ended() || len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if other.Ended() {
		t.Error("the other host was killed too")
	}
}

func TestAFrozenDiskHasWritersWait(t *testing.T) {
	New(t, "a") // skips where there is no right to
	d := NewDisk(t, 16)
	if d == nil {
		t.Skip("no disks")
	}
	write := func() error { return os.WriteFile(filepath.Join(d.Path, "f"), []byte("x"), 0o600) }
	if err := write(); err != nil {
		t.Fatal(err)
	}
	d.Freeze()
	done := make(chan error, 1)
	go func() { done <- write() }()
	select {
	case err := <-done:
		t.Errorf("a write went through: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	d.Thaw()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
