//go:build !linux

package systemd

import "time"

// monotonic is not known where there is no systemd.
func monotonic() (time.Duration, bool) { return 0, false }
