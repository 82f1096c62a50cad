package enginetest

import (
	"testing"
	"time"
)

// Canary measures how long this machine lets a goroutine wait that asked for five milliseconds, so that a test of latency can
// tell a slow engine from a starved machine. The returned function stops it and gives the worst delay.
func Canary(t *testing.T) func() time.Duration {
	t.Helper()
	stop, worst := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		var most time.Duration
		for {
			start := time.Now()
			select {
			case <-stop:
				worst <- most
				return
			case <-time.After(5 * time.Millisecond):
			}
			most = max(most, time.Since(start)-5*time.Millisecond)
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-worst
	}
}
