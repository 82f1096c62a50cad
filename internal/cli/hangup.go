package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// reloader is a command that takes SIGHUP as the wish to read its file anew. All others end in order with it, unless it is ignored, as
// nohup has it.
type reloader interface{ reloads() }

// endWithTerminal returns a context that ends with SIGHUP.
func endWithTerminal(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return ctx, func() {}
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// hangups gives a value for each SIGHUP, until stop. The SIGHUP of a terminal that has gone ends the context instead.
func (c *console) hangups(ctx context.Context) (context.Context, <-chan struct{}, func()) {
	ctx, end := context.WithCancel(ctx)
	signals, reload := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(signals, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range signals {
			if c.tty && !term.IsTerminal(int(os.Stderr.Fd())) {
				end()
				continue
			}
			select {
			case reload <- struct{}{}:
			default: // one that waits reads what the file says then
			}
		}
	}()
	return ctx, reload, func() {
		signal.Stop(signals)
		close(signals)
		<-done
		end()
	}
}
