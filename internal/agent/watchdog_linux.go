package agent

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// setWatchdog sets the device's limit, and makes sure that it took it.
func setWatchdog(f *os.File, limit time.Duration) error {
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeDevice == 0 {
		return nil // a pipe stands in for it
	}
	want := int(limit / time.Second)
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, want); err != nil {
		return err
	}
	if got, err := unix.IoctlGetInt(int(f.Fd()), unix.WDIOC_GETTIMEOUT); err != nil || got != want {
		return fmt.Errorf("its limit is %d s, not %d (%v)", got, want, err)
	}
	return nil
}
