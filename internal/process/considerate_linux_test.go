package process

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatIsStartedAsideYieldsToo(t *testing.T) {
	wanted := errors.New("as it ended")
	before := nice(t)
	err := Aside(t.Context(), func(ctx context.Context) error {
		within := make(chan int)
		go func() { YieldFor(ctx); within <- nice(t) }()
		if got := <-within; got != max(before, niceness) {
			t.Errorf("a worker of it has niceness %d", got)
		}
		c := exec.Command("cat")
		in, err := c.StdinPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			return err
		}
		if got := niceOf(t, c.Process.Pid); got != max(before, niceness) {
			t.Errorf("a program that it starts has niceness %d", got)
		}
		if prio, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, uintptr(c.Process.Pid), 0); errno != 0 || prio != lowIO {
			t.Errorf("a program that it starts has I/O priority %x, %v", prio, errno)
		}
		return errors.Join(in.Close(), c.Wait(), wanted)
	})
	if !errors.Is(err, wanted) {
		t.Errorf("%v", err)
	}
	ordinary := make(chan int)
	go func() { YieldFor(t.Context()); ordinary <- nice(t) }()
	if got := <-ordinary; got != before {
		t.Errorf("work that somebody waits for has niceness %d", got)
	}
}

// niceOf reads the niceness of a process: field 19 of proc_pid_stat(5).
func niceOf(t *testing.T, pid int) int {
	t.Helper()
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	n, err := strconv.Atoi(strings.Fields(rest)[16])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
