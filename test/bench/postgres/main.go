// Command postgres runs the PostgreSQL benchmarks: Backstay and its peers (pgBackRest, pg_receivewal, cp) in turn on the
// same work on this machine. It prints medians and ratios and judges nothing: it fails only where a program fails or where
// data that came back is not what was written. test/bench/README.md explains each figure.
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
	{"base", "a full base, against pgBackRest", options{scale: 150, rows: 6_000_000, rounds: 5, cache: "both"}, runBase},
	{"restore", "a restore of the newest state, against pgBackRest", options{scale: 150, rows: 6_000_000, rounds: 5, cache: "warm"}, runRestore},
	{"lag", "durable lag under pgbench at full speed", options{scale: 50, rounds: 1, seconds: 60, clients: 8}, runLag},
	{"sync", "pgbench behind a synchronous standby, against pg_receivewal --synchronous", options{scale: 50, rounds: 5, seconds: 20, clients: 8}, runSync},
	{"replay", "replay of much log, against restore_command = cp", options{scale: 50, rounds: 3, log: 4 << 30, clients: 8}, runReplay},
}

func main() {
	var table []measure.Command
	for _, c := range commands {
		table = append(table, measure.Command{Name: c.name, Does: c.does, Run: func(ctx context.Context, args []string) error { return runCommand(ctx, c, args) }})
	}
	measure.Main("postgres", table)
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
