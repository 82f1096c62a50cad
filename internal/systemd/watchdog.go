package systemd

import (
	"context"
	"time"
)

// Watch says that the process is alive for as long as well returns nil, and lets the manager restart it otherwise, until ctx
// ends; it returns the error of ctx. well answers at once; what it returns is shown as the status of the service. A message
// that is lost is no failure: the next one comes within half the time that the manager waits. With no watchdog it just waits.
func (m Manager) Watch(ctx context.Context, well func() error) error {
	if m.Watchdog() == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	ticks := time.NewTicker(max(m.Watchdog()/3, time.Millisecond))
	defer ticks.Stop()
	for {
		if err := well(); err != nil {
			_ = m.Status("not well: " + err.Error())
		} else {
			_ = m.Alive()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
		}
	}
}
