// Command proxy measures what Backstay's proxy costs beside HAProxy in TCP mode and PgBouncer in session mode, and how much
// memory idle connections take.
//
//	proxy transactions   pgbench -S through each of them in turn: latency, and processor time of the proxy for each transaction
//	proxy idle           memory for connections that do nothing, to a stub server, without encryption
//	proxy serve          the proxy alone, which the others start as a process of its own
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

type options struct {
	rounds  int
	seconds int
	clients int
	idle    int
	listen  string
	member  string
	profile string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "runs of each, in turn; medians are shown")
	flag.IntVar(&o.seconds, "seconds", 4, "of each run")
	flag.IntVar(&o.clients, "clients", 0, "1 and 8 if it is zero")
	flag.IntVar(&o.idle, "connections", 5000, "idle ones")
	flag.StringVar(&o.listen, "listen", "", "address to serve at")
	flag.StringVar(&o.member, "member", "", "address of the server to lead to")
	flag.StringVar(&o.profile, "profile", "", "file for a processor profile of the proxy")
	what := ""
	if len(os.Args) > 1 {
		what = os.Args[1]
		os.Args = append(os.Args[:1], os.Args[2:]...)
	}
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	run, ok := map[string]func(context.Context, options) error{"transactions": transactions, "idle": idle, "serve": serve}[what]
	if !ok {
		fmt.Fprintln(os.Stderr, "proxy transactions|idle|serve [options]")
		os.Exit(2)
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// pause lets the machine settle between two runs.
const pause = 300 * time.Millisecond
