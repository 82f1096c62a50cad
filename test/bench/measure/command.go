package measure

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Command is one row of a program's table of benchmarks.
type Command struct {
	Name, Does string
	Run        func(ctx context.Context, args []string) error
}

// Main runs the benchmark that the command line of the program in test/bench/program names, until it ends or Ctrl-C.
func Main(program string, commands []Command) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := find(ctx, os.Stderr, program, commands, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func find(ctx context.Context, out io.Writer, program string, commands []Command, args []string) error {
	if len(args) > 0 {
		for _, c := range commands {
			if c.Name == args[0] {
				return c.Run(ctx, args[1:])
			}
		}
	}
	fmt.Fprintf(out, "usage: go run ./test/bench/%s NAME [flags]\n", program)
	for _, c := range commands {
		fmt.Fprintf(out, "  %-8s  %s\n", c.Name, c.Does)
	}
	return errors.New("name one benchmark")
}
