package notify

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// childDir names the folder to a process that is there to be killed.
const childDir = "BACKSTAY_TEST_NOTIFY_DIR"

// stuck says on standard output what it is asked to send, and never takes it.
type stuck struct{}

func (stuck) Send(ctx context.Context, m Message) error {
	fmt.Println("sending", m.ID)
	<-ctx.Done()
	return context.Cause(ctx)
}

// child reports one notice after another until it is killed. It says of each event that Tell has returned.
func child(dir string) {
	n, err := Open(Config{Dir: dir, Host: "db1", Receivers: []Receiver{{Name: "a", Sender: stuck{}}}})
	if err != nil {
		fmt.Println("open", err)
		os.Exit(1)
	}
	go func() { _ = n.Run(context.Background()) }()
	n.Report("policy", []Notice{rpo("orders", Critical)})
	fmt.Println("reported")
	for i := 0; ; i++ {
		time.Sleep(20 * time.Millisecond)
		if err := n.Tell(Notice{Fingerprint: fmt.Sprint("event", i), Objective: "gap", Reason: "x", Since: time.Unix(1, 0)}); err != nil {
			os.Exit(1)
		}
		fmt.Println("told", i)
	}
}

// kill runs child in dir until a line starts with until, waits, and kills it. It returns the lines.
func kill(t *testing.T, dir, until string, wait time.Duration) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	seen := false
	scanner := bufio.NewScanner(pipe)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
		if !seen && strings.HasPrefix(scanner.Text(), until) {
			seen = true
			time.AfterFunc(wait, func() { _ = cmd.Process.Kill() })
		}
	}
	_, _ = io.Copy(io.Discard, pipe)
	_ = cmd.Wait()
	if !seen {
		t.Fatalf("the child ended before %q: %v", until, lines)
	}
	return lines
}

// deliver runs a notifier in dir until it has nothing to send, and returns the messages by their IDs.
func deliver(t *testing.T, dir string) (ids map[string]bool, changes string) {
	t.Helper()
	a := &far{}
	n, stop := start(t, dir, a, &far{})
	defer stop()
	n.Report("policy", []Notice{rpo("orders", Critical)})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		n.mu.Lock()
		idle := len(n.queues["a"].entries) == 0 && len(n.state.Desks["a"].Pending) == 0
		n.mu.Unlock()
		if idle {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("messages wait for ever")
		}
	}
	ids = map[string]bool{}
	for _, m := range a.taken {
		ids[m.ID] = true
	}
	return ids, " " + a.got() + " "
}

// A message that was in the outbox and not sent when the process was killed is sent by the next one, once, with its ID.
func TestKillBetweenOutboxAndSend(t *testing.T) {
	dir := t.TempDir()
	lines := kill(t, dir, "sending", 0)
	var id string
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, "sending "); ok {
			id = rest
		}
	}
	ids, changes := deliver(t, dir)
	if !ids[id] || strings.Count(changes, "began:rpo/orders ") != 1 {
		t.Errorf("message %s was sent: %v; told %s", id, ids[id], changes)
	}
	if _, again := deliver(t, dir); strings.TrimSpace(again) != "" {
		t.Errorf("after that it is told again: %s", again)
	}
}

// Wherever a kill comes, what was reported is told, and every event for which Tell had returned.
func TestKillAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for real time")
	}
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			killAfter(t, time.Duration(i)*370*time.Millisecond)
		})
	}
}

func killAfter(t *testing.T, wait time.Duration) {
	dir := t.TempDir()
	lines := kill(t, dir, "told 0", wait)
	_, changes := deliver(t, dir)
	if strings.Count(changes, "began:rpo/orders ") != 1 {
		t.Errorf("told %s", changes)
	}
	events := 0
	for _, l := range lines {
		if k, ok := strings.CutPrefix(l, "told "); ok {
			events++
			if n := strings.Count(changes, "happened:event"+k+" "); n != 1 {
				t.Errorf("event %s was told %d times", k, n)
			}
		}
	}
	if events == 0 {
		t.Error("no event")
	}
}
