// Command peer runs Litestream, as its own command does, for the benchmarks of test/bench/sqlite. It is a module of
// its own, so that nothing of Litestream reaches the main module. Its settings are those of `litestream replicate`
// and `litestream restore` without a configuration file; -speed divides every interval, so that an hour's life of a
// replica, with its compactions, can be had in minutes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: peer replicate|restore [flags]")
	}
	fs := flag.NewFlagSet("peer "+args[0], flag.ContinueOnError)
	replica := fs.String("replica", "", "URL of the replica: file:///folder, s3://bucket/path?endpoint=http://host:port")
	switch args[0] {
	case "replicate":
		db := fs.String("db", "", "the database")
		speed := fs.Float64("speed", 1, "divide every interval by this")
		if err := fs.Parse(args[1:]); err != nil {
			return err
		}
		return replicate(ctx, *db, *replica, *speed)
	case "restore":
		into := fs.String("o", "", "the file to restore into")
		check := fs.String("integrity-check", "none", "none, quick or full")
		if err := fs.Parse(args[1:]); err != nil {
			return err
		}
		return restore(ctx, *replica, *into, *check)
	}
	return fmt.Errorf("unknown command %q", args[0])
}
