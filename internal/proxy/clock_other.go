//go:build !linux

package proxy

import "time"

// awake takes the larger of what the monotonic clock and the time of day say has passed, since the monotonic one may
// stand still while the machine sleeps. A time of day that is set forward only ends a route early.
func awake() time.Duration {
	return max(running(), time.Now().Round(0).Sub(began.Round(0)))
}
