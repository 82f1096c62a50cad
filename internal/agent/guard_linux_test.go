package agent

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/proxy"
)

// TestMain lets this program be the guard of a process, as backstay's own is.
func TestMain(m *testing.M) {
	path, victim := os.Getenv("GUARD_TEST_DEADLINE"), os.Getenv("GUARD_TEST_VICTIM")
	if path == "" {
		os.Exit(m.Run())
	}
	pid, err := strconv.Atoi(victim)
	if err == nil {
		err = Guard(context.Background(), path, func(context.Context) error {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
				return err
			}
			return nil
		}, nil, func(string) {})
	}
	if err != nil {
		os.Exit(1)
	}
}

func awake() time.Duration { return time.Duration(proxy.Now()) }

// guarded is a process, and a guard of it.
func guarded(t *testing.T) (d *Deadline, g *GuardProcess, ended chan time.Time) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "deadline")
	d, err := OpenDeadline(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	victim := exec.Command("sleep", "60")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	ended = make(chan time.Time, 1)
	go func() {
		_ = victim.Wait()
		ended <- time.Now()
	}()
	guards := make(chan *exec.Cmd, 10)
	g = &GuardProcess{Path: path, Told: func(text string) { t.Error(text) }, Command: func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "GUARD_TEST_DEADLINE="+path, "GUARD_TEST_VICTIM="+strconv.Itoa(victim.Process.Pid))
		guards <- cmd
		return cmd
	}}
	t.Cleanup(func() {
		_ = victim.Process.Kill()
		for len(guards) > 0 {
			_ = (<-guards).Process.Kill()
		}
	})
	d.Write(awake()+time.Minute, true)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	for end := time.Now().Add(10 * time.Second); !g.Alive(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no guard runs")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return d, g, ended
}

func TestAGuardStopsTheServerAtTheDeadline(t *testing.T) {
	d, g, ended := guarded(t)
	var deadline time.Time
	for range 10 { // renewed in time
		deadline = time.Now().Add(200 * time.Millisecond)
		d.Write(awake()+200*time.Millisecond, true)
		time.Sleep(20 * time.Millisecond)
	}
	select {
	case at := <-ended:
		if at.Before(deadline) {
			t.Errorf("stopped %s too early", deadline.Sub(at))
		}
	case <-time.After(three.StopGrace + time.Second):
		t.Fatal("a server that leads without tenure was not stopped")
	}
	if !g.Alive() {
		t.Error("the guard has gone")
	}
}

func TestAGuardLetsAStandbyBe(t *testing.T) {
	d, _, ended := guarded(t)
	d.Write(awake()-time.Second, false)
	select {
	case <-ended:
		t.Error("a server that does not lead was stopped")
	case <-time.After(200 * time.Millisecond):
	}
}

// minded is an agent, and a guard beside it that has nothing to stop.
func minded(t *testing.T) (*world, *guard) {
	t.Helper()
	w := newWorld(t)
	d, err := OpenDeadline(filepath.Join(t.TempDir(), "deadline"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	w.deadline = d
	w.boot()
	return w, &guard{d: d, now: w.now, halt: func(context.Context) error { t.Error("it stops a standby, or a primary in its tenure"); return nil }}
}

// TestAStandbysGuardStays looks as a guard does whose server is no primary: it stays for as long as somebody minds the server, and is
// not started again and again.
func TestAStandbysGuardStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := minded(t)
		for _, after := range []time.Duration{0, time.Second, 2 * deserted} {
			time.Sleep(after)
			if !g.look(t.Context()) {
				t.Errorf("it ends after %s, beside an agent", after)
			}
		}
		w.end()
		time.Sleep(2 * deserted)
		if g.look(t.Context()) {
			t.Error("it goes on where nobody is")
		}
	})
}

// TestAGuardStaysWhenItsServerHandsOver has a primary fenced: who takes over next, a moment later, is to have its guard.
func TestAGuardStaysWhenItsServerHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, g := minded(t)
		w.serve()
		if _, leads, _ := g.d.Read(); !leads {
			t.Fatal("the guard does not know of a primary")
		}
		if !g.look(t.Context()) {
			t.Fatal("it ends beside a primary")
		}
		w.put(func(s *cluster.State) { s.Epoch, s.Phase = 8, cluster.Fencing })
		synctest.Wait() // it has heard of that, and its tenure has ended
		if err := w.act(cluster.Action{Verb: cluster.Fence, Epoch: 8}); err != nil {
			t.Fatal(err)
		}
		if _, leads, _ := g.d.Read(); leads {
			t.Error("the server was fenced, and its guard does not know")
		}
		if !g.look(t.Context()) {
			t.Error("it ends when its server hands over")
		}
	})
}

func TestADeadlineOfAnEarlierBootCountsForNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deadline")
	d, err := OpenDeadline(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, _, ok := d.Read(); ok {
		t.Error("an empty file says something")
	}
	d.Write(time.Hour, true)
	other, err := OpenDeadline(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if until, leads, ok := other.Read(); !ok || !leads || until != time.Hour {
		t.Errorf("another process reads %s %v %v", until, leads, ok)
	}
	d.page[8]++ // a write that was cut: the other half counts
	if until, _, ok := other.Read(); !ok || until != time.Hour {
		t.Errorf("with one half damaged: %s %v", until, ok)
	}
	d.page[8]--
	other.boot++
	if _, _, ok := other.Read(); ok {
		t.Error("another boot's deadline counts")
	}
}

func TestTheWatchdogIsPettedOnlyWhileItComesInTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "watchdog")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	device, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	w := &Watchdog{Path: path, Lease: three.Lease, Grace: three.StopGrace}
	pet := func(left time.Duration) {
		if err := w.pet(left); err != nil {
			t.Error(err)
		}
	}
	pet(400 * time.Millisecond)
	pet(600 * time.Millisecond)
	pet(1500 * time.Millisecond)
	pet(100 * time.Millisecond)
	w.release()
	w.release()
	if err := device.SetReadDeadline(time.Now().Add(time.Second)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	n, err := device.Read(b)
	if err != nil || strings.Trim(string(b[:n]), "\x00") != "11V" {
		t.Errorf("the device got %q, %v", b[:n], err)
	}
}

// TestAWatchdogThatCannotBeUsedIsSaid: when it is configured, as far as that can be known without starting it, and once when it is needed.
func TestAWatchdogThatCannotBeUsedIsSaid(t *testing.T) {
	dir := t.TempDir()
	file, device := filepath.Join(dir, "file"), filepath.Join(dir, "watchdog")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(device, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		lease time.Duration
		want  error
	}{
		{device, time.Second, nil},
		{device, 900 * time.Millisecond, ErrTooShort},
		{file, time.Second, ErrNoDevice},
		{filepath.Join(dir, "nothing"), time.Second, ErrNoDevice},
	} {
		if err := (&Watchdog{Path: c.path, Lease: c.lease, Grace: three.StopGrace}).Check(); !errors.Is(err, c.want) {
			t.Errorf("%s with a lease of %s: %v, want %v", c.path, c.lease, err, c.want)
		}
	}
	if err := os.Remove(device); err != nil {
		t.Fatal(err)
	}
	said := []string{}
	w := &Watchdog{Path: device, Lease: three.Lease, Grace: three.StopGrace}
	d, err := OpenDeadline(filepath.Join(dir, "deadline"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.Write(time.Second, true)
	g := guard{d: d, watchdog: w, now: func() time.Duration { return 0 }, told: func(text string) { said = append(said, text) }}
	for range 3 {
		w.again = time.Time{}
		g.look(t.Context())
	}
	if len(said) != 1 || !strings.Contains(said[0], device) || !strings.Contains(said[0], "no such file") {
		t.Errorf("the guard said %q", said)
	}
}

// TestAWatchdogOfAnotherUser needs to be root, to be somebody else for a while.
func TestAWatchdogOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	path := filepath.Join(t.TempDir(), "watchdog")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(path); strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w := &Watchdog{Path: path, Lease: three.Lease, Grace: three.StopGrace}
	checked := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			checked <- err
			return
		}
		checked <- w.Check()
	}()
	if err := <-checked; !errors.Is(err, ErrNoRight) {
		t.Errorf("who may not write to it is told %v", err)
	}
}

// TestTheShortestLimitThatADeviceTakes goes by what devices do with a limit that they don't have: refuse it, or take another one.
func TestTheShortestLimitThatADeviceTakes(t *testing.T) {
	refuses := func(least int) func(int) (int, error) {
		return func(s int) (int, error) {
			if s < least {
				return 0, syscall.EINVAL
			}
			return s, nil
		}
	}
	rounds := func(least int) func(int) (int, error) {
		return func(s int) (int, error) { return max(s, least), nil }
	}
	for _, c := range []struct {
		name    string
		longest time.Duration
		set     func(int) (int, error)
		want    time.Duration
	}{
		{"any", time.Second, refuses(1), time.Second},
		{"two seconds or more, and a lease that allows three", 3 * time.Second, refuses(2), 2 * time.Second},
		{"it rounds up, and the lease allows it", 3 * time.Second, rounds(3), 3 * time.Second},
		{"two seconds or more, and a lease that allows one", time.Second, refuses(2), 0},
		{"it rounds up to too much", 3 * time.Second, rounds(60), 0},
	} {
		got, err := shortest(c.longest, c.set)
		if got != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
	}
}
