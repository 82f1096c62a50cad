package drill

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/recovery"
)

func TestRoomIsAskedForBefore(t *testing.T) {
	w := newWorld()
	c := w.config(t)
	for free, want := range map[int64]Verdict{Reserve: EnvironmentBad, Reserve + 1<<20: Proved} {
		c.FreeBytes = func(string) (int64, error) { return free, nil }
		r, err := Run(t.Context(), c)
		if err != nil || r.Verdict != want || want == EnvironmentBad && (!strings.Contains(r.Reason, "free") || r.LaidBytes != 0) {
			t.Errorf("%d bytes free: %s, %d laid, %v", free, r, r.LaidBytes, err)
		}
	}
	c.FreeBytes = func(string) (int64, error) { return 0, errors.New("boom") }
	if r, err := Run(t.Context(), c); err != nil || r.Verdict != EnvironmentBad {
		t.Errorf("%s, %v", r, err)
	}
	requireEmpty(t, c.Scratch)
}

// TestDrillEndsWhenTheDiskFillsUp: a command of the owner fills it, or somebody else does.
func TestDrillEndsWhenTheDiskFillsUp(t *testing.T) {
	c := recovered(t)
	var full atomic.Bool
	begun := filepath.Join(c.Dir, "begun")
	c.FreeBytes = func(string) (int64, error) {
		if _, err := os.Stat(begun); err == nil {
			full.Store(true)
			return 1000, nil
		}
		return 1 << 40, nil
	}
	c.Questions = []Question{{Command: []string{"sh", "-c", "touch " + begun + "; sleep 300"}}}
	began := time.Now()
	r, err := Run(t.Context(), c)
	if err != nil || r.Verdict != EnvironmentBad || !strings.Contains(r.Reason, "1.0 kB free") && !strings.Contains(r.Reason, "1000 B free") || !full.Load() {
		t.Errorf("%s, %v", r, err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
	requireEmpty(t, c.Scratch)
	var none *recovery.NoSpaceError
	if ctx, stop := (&drill{config: c}).guard(context.Background(), c.Scratch); true {
		<-ctx.Done()
		stop()
		if !errors.As(context.Cause(ctx), &none) {
			t.Errorf("cause %v", context.Cause(ctx))
		}
	}
}

// TestMain lets the test binary be the drill that dies: it runs one with a command that hangs, and is killed.
func TestMain(m *testing.M) {
	if root := os.Getenv("DRILL_TEST_SCRATCH"); root != "" {
		dieDrilling(root)
	}
	os.Exit(m.Run())
}

func dieDrilling(root string) {
	d := &drill{config: Config{Dir: root}, report: Report{Source: "app", Target: "latest"}}
	c := &Check{}
	dir := filepath.Join(root, "backstay-scratch-dead")
	owner := []byte("backstay scratch v0\nprocess 1\n")
	if os.MkdirAll(dir, 0o700) != nil || os.WriteFile(dir+".owner", owner, 0o600) != nil {
		os.Exit(1)
	}
	// Of a session of its own, and with the data open: nothing but its environment says whose it is.
	script := "setsid sh -c 'echo $$ > " + filepath.Join(root, "pid") + "; exec sleep 300' & while [ ! -s " + filepath.Join(root, "pid") + " ]; do sleep 0.01; done; echo ready > " + filepath.Join(root, "ready") + "; sleep 300"
	_ = d.command(context.Background(), reachable{}, dir, Question{Command: []string{"sh", "-c", script}}, c)
	os.Exit(1)
}

// reachable is a server without data.
type reachable struct{ engine.Asker }

func (reachable) Reach(context.Context, string) (string, error) { return "nowhere", nil }

func TestSweepAfterADrillThatWasKilled(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip(err)
	}
	root := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "DRILL_TEST_SCRATCH="+root)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, filepath.Join(root, "ready"))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	pid := readPID(t, filepath.Join(root, "pid"))
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("what should be ended is gone already: %v", err)
	}
	removed, err := Sweep(root)
	if err != nil || len(removed) != 1 {
		t.Errorf("swept %v, %v", removed, err)
	}
	for range 500 {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) || zombie(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d lives", pid)
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	for range 3000 {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s never came", path)
}

func readPID(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line, _ := bufio.NewReader(f).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}
