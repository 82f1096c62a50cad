package proxy

import (
	"time"

	"golang.org/x/sys/unix"
)

// awake is CLOCK_BOOTTIME: unlike Go's monotonic clock it counts the time that a machine was suspended.
func awake() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return running()
	}
	return time.Duration(ts.Nano())
}
