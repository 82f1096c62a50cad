//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// asksForBases gives a value for each SIGUSR1, until stop; of several that come while one is served one counts.
func asksForBases() (asked <-chan struct{}, stop func()) {
	signals, bases := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range signals {
			select {
			case bases <- struct{}{}:
			default:
			}
		}
	}()
	return bases, func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}
