//go:build linux

package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what one run took.
type usage struct {
	processor time.Duration // of all its processes, user and system
	elapsed   time.Duration
	synced    time.Duration // until what it wrote was on the disk
	peak      int64         // bytes resident, of the largest process
	others    time.Duration // processor time that the rest of the machine took meanwhile: it makes wall times useless
}

func (u usage) cpu() float64     { return u.processor.Seconds() }
func (u usage) wall() float64    { return u.elapsed.Seconds() }
func (u usage) durable() float64 { return u.synced.Seconds() }
func (u usage) memory() float64  { return float64(u.peak) / 1e6 }

func (u usage) String() string {
	return fmt.Sprintf("cpu %6.2fs wall %6.2fs on disk %6.2fs peak %4.0f MB, others %.1f cores",
		u.cpu(), u.wall(), u.durable(), u.memory(), u.others.Seconds()/u.wall())
}

// measure runs one command and all that it starts.
func measure(dir string, cmd *exec.Cmd) (usage, error) {
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &before); err != nil {
		return usage{}, err
	}
	busy, err := machineBusy()
	if err != nil {
		return usage{}, err
	}
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return usage{}, err
	}
	u := usage{elapsed: time.Since(start)}
	busyAfter, err := machineBusy()
	if err != nil {
		return usage{}, err
	}
	if err := syncDisk(dir); err != nil {
		return usage{}, err
	}
	u.synced = time.Since(start)
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &after); err != nil {
		return usage{}, err
	}
	u.processor = spent(after) - spent(before)
	u.others = max(0, busyAfter-busy-u.processor)
	if own, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.peak = own.Maxrss << 10
	}
	return u, nil
}

func spent(r unix.Rusage) time.Duration {
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// machineBusy is the processor time that all processes have used since the machine started (proc_stat(5): user, nice
// and system, in hundredths of a second).
func machineBusy() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	var user, nice, system int64
	if _, err := fmt.Sscanf(string(b), "cpu %d %d %d", &user, &nice, &system); err != nil {
		return 0, fmt.Errorf("read /proc/stat: %w", err)
	}
	return time.Duration(user+nice+system) * 10 * time.Millisecond, nil
}

// syncDisk writes out the file system that holds dir.
func syncDisk(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// settle lets the disk come to rest and, unless warm, takes the files of dir out of the page cache.
func settle(dir string, warm bool) error {
	if err := syncDisk(dir); err != nil || warm {
		return err
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}
