// Command writer is the application in the SQLite benchmarks: a process of its own that places orders in a database
// at a steady rate and writes down when each commit began and was acknowledged.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/backstaydb/backstay/test/bench/sqlite/shop"
)

type options struct {
	db, ledger string
	rate       float64
	commits    int64
	duration   time.Duration
	seed       uint64
}

func main() {
	var o options
	flag.StringVar(&o.db, "db", "", "the database, made by the benchmark")
	flag.StringVar(&o.ledger, "ledger", "", "the file to write commit times to")
	flag.Float64Var(&o.rate, "rate", 500, "commits a second; 0 means as many as go")
	flag.Int64Var(&o.commits, "commits", 0, "end after so many; 0 means no such end")
	flag.DurationVar(&o.duration, "duration", 0, "end after this time; 0 means no such end")
	flag.Uint64Var(&o.seed, "seed", 1, "of the orders")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run sells until an end is reached or ctx ends, which is no error.
func run(ctx context.Context, o options) (err error) {
	// The order that is under way when the end comes is still placed and recorded.
	work := context.WithoutCancel(ctx)
	till, err := shop.OpenTill(work, o.db, o.seed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, till.Close()) }()
	ledger, err := shop.CreateLedger(o.ledger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	start := time.Now()
	for n := int64(0); o.commits == 0 || n < o.commits; n++ {
		due := time.Now()
		if o.rate > 0 {
			due = start.Add(time.Duration(float64(n) / o.rate * float64(time.Second)))
		}
		if o.duration > 0 && due.Sub(start) >= o.duration || !sleepUntil(ctx, due) {
			return nil
		}
		beat, begun, done, err := till.Sell(work)
		if err != nil {
			return err
		}
		if err := ledger.Add(shop.Sale{Beat: beat, Due: due, Begun: begun, Done: done}); err != nil {
			return fmt.Errorf("write ledger: %w", err)
		}
	}
	return nil
}

// sleepUntil reports whether t came before ctx ended. A time that has passed is not waited for: a writer that was held
// up catches up, so that each system is given the same number of commits.
func sleepUntil(ctx context.Context, t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
