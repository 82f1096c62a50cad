package agent

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// setWatchdog gives the device a limit of longest at most, and returns the one that it took.
func setWatchdog(f *os.File, longest time.Duration) (time.Duration, error) {
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeDevice == 0 {
		return time.Second, nil // a pipe stands in for it
	}
	return shortest(longest, func(seconds int) (int, error) {
		if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, seconds); err != nil {
			return 0, err
		}
		return unix.IoctlGetInt(int(f.Fd()), unix.WDIOC_GETTIMEOUT)
	})
}

func mayWrite(path string) error {
	err := unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS)
	if err == unix.EACCES || err == unix.EPERM {
		return ErrNoRight
	}
	return err
}
