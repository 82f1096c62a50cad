// Command backstay keeps an application's data recoverable: it protects databases, recovers them to any moment, and
// proves that it can.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/backstaydb/backstay/internal/cli"
	"github.com/backstaydb/backstay/internal/process"
)

func main() { os.Exit(run()) }

func run() int {
	process.Modest()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second Ctrl-C ends the program at once.
	context.AfterFunc(ctx, stop)
	return cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
