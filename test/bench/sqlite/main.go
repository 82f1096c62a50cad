// Command sqlite runs the SQLite benchmarks: Backstay and its peers (Litestream, VACUUM INTO) in turn on the same
// work on this machine. It prints medians, distributions and ratios and judges nothing: it fails only where a
// program fails or where data that came back is not what was committed. test/bench/README.md explains each figure.
package main

import (
	"context"
	"errors"
	"flag"

	"github.com/backstaydb/backstay/test/bench/measure"
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
	var table []measure.Command
	for _, c := range commands {
		table = append(table, measure.Command{Name: c.name, Does: c.does, Run: func(ctx context.Context, args []string) error { return runCommand(ctx, c, args) }})
	}
	measure.Main("sqlite", table)
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
