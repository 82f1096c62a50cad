//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func group(t *testing.T, script string) (Group, *strings.Builder) {
	t.Helper()
	out := &strings.Builder{}
	return Group{Dir: t.TempDir(), Command: []string{"sh", "-c", script}, Env: []string{"PATH=" + os.Getenv("PATH"), "MARK=" + t.Name()}, Mark: "MARK=" + t.Name(), Output: out}, out
}

func TestGroupRunsAndTells(t *testing.T) {
	g, out := group(t, "echo one; echo two >&2; exit 3")
	var exit *exec.ExitError
	if err := g.Run(t.Context()); !errors.As(err, &exit) || exit.ExitCode() != 3 || out.String() != "one\ntwo\n" {
		t.Errorf("%v, %q", err, out)
	}
	g.Command = []string{"sh", "-c", "pwd"}
	out.Reset()
	if err := g.Run(t.Context()); err != nil || strings.TrimSpace(out.String()) != g.Dir {
		t.Errorf("%v, %q", err, out)
	}
}

func TestGroupThatCannotStart(t *testing.T) {
	g, _ := group(t, "")
	notProgram := filepath.Join(g.Dir, "plain")
	if err := os.WriteFile(notProgram, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{nil, {""}, {"there-is-no-such-program"}, {"./none"}, {"./plain"}} {
		g.Command = command
		var start *StartError
		if err := g.Run(t.Context()); !errors.As(err, &start) {
			t.Errorf("%q: %v", command, err)
		}
	}
	g.Command = []string{"true"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestGroupLeavesNobody starts children of all kinds: in the group, deaf to SIGTERM, holding the output open, and in a
// session of their own.
func TestGroupLeavesNobody(t *testing.T) {
	children := `(echo $$ >/dev/null; sh -c 'echo $$ >> pids; exec sleep 300') &
sh -c 'trap "" TERM; echo $$ >> pids; while :; do sleep 1; done' &
`
	want := 2
	if _, err := exec.LookPath("setsid"); err == nil && runtime.GOOS == "linux" {
		children += "setsid sh -c 'echo $$ >> pids; exec sleep 300' &\n"
		want++
	}
	children += fmt.Sprintf("while [ $(wc -l < pids) -lt %d ]; do sleep 0.01; done\n", want)
	for name, c := range map[string]struct {
		end   string
		limit time.Duration
		err   error
	}{
		"the program ends":    {"exit 0", time.Minute, nil},
		"the program hangs":   {"sleep 300", time.Second, context.DeadlineExceeded},
		"it is deaf as well":  {"trap '' TERM; while :; do sleep 1; done", time.Second, context.DeadlineExceeded},
		"it ends when asked":  {"trap 'exit 0' TERM; while :; do sleep 0.05; done", time.Second, context.DeadlineExceeded},
		"it is not waited on": {"kill -9 $$", time.Minute, &exec.ExitError{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, _ := group(t, ": > pids\n"+children+c.end)
			g.Grace = 200 * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), c.limit)
			defer cancel()
			begin := time.Now()
			err := g.Run(ctx)
			if took := time.Since(begin); took > 15*time.Second {
				t.Errorf("took %s", took)
			}
			if exit := (&exec.ExitError{}); !errors.Is(err, c.err) && !(errors.As(c.err, &exit) && errors.As(err, &exit)) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			list, err := os.ReadFile(filepath.Join(g.Dir, "pids"))
			if err != nil {
				t.Fatal(err)
			}
			pids := strings.Fields(string(list))
			if len(pids) != want {
				t.Errorf("%d children were started, want %d", len(pids), want)
			}
			for _, text := range pids {
				pid, err := strconv.Atoi(text)
				if err != nil {
					t.Fatal(err)
				}
				requireGone(t, pid)
			}
		})
	}
}

// requireGone waits a moment: who was killed may still be reaped by others.
func requireGone(t *testing.T, pid int) {
	t.Helper()
	for range 300 {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d lives", pid)
}

func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}
