// Command sqlite runs the SQLite benchmarks: Backstay and its peers (Litestream, VACUUM INTO) in turn on the same
// work on this machine. It prints medians, distributions and ratios and judges nothing: it fails only where a
// program fails or where data that came back is not what was committed. test/bench/README.md explains each figure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// command is one row of the table of benchmarks.
type command struct {
	name, does string
	defaults   options
	run        func(context.Context, *bench) error
}

var commands = []command{
	{"base", "a base beside a writer, against VACUUM INTO", options{size: 2 << 30, rate: 500, rounds: 3, duration: 0}, runBase},
	{"lag", "durable lag, folder and S3, against Litestream", options{size: 64 << 20, rate: 500, rounds: 2, duration: minute}, runLag},
	{"restore", "restore after an hour of commits, against Litestream", options{size: 256 << 20, rate: 2500, rounds: 3, commits: 1_800_000}, runRestore},
	{"memory", "peak memory of each command", options{size: 10 << 30, rate: 500, rounds: 1}, runMemory},
	{"idle", "memory and processor of an idle daemon", options{size: 64 << 20, rounds: 1, duration: minute}, runIdle},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		for _, c := range commands {
			if c.name == args[0] {
				return runCommand(ctx, c, args[1:])
			}
		}
	}
	fmt.Fprintln(os.Stderr, "usage: go run ./test/bench/sqlite NAME [flags]")
	for _, c := range commands {
		fmt.Fprintf(os.Stderr, "  %-8s  %s\n", c.name, c.does)
	}
	return errors.New("name one benchmark")
}

func runCommand(ctx context.Context, c command, args []string) (err error) {
	o := c.defaults
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	o.register(fs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	if err := o.validate(fs.Args()); err != nil {
		return err
	}
	b, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	b.heading(ctx, c)
	return c.run(ctx, b)
}
