package main

import (
	"context"
	"net"
	"os"
	"runtime/pprof"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/proxy/postgres"
	"github.com/backstaydb/backstay/internal/route"
)

// serve is the proxy, with a route that is renewed as an agent renews it.
func serve(ctx context.Context, o options) error {
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	from, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	table := proxy.NewTable()
	listener := proxy.NewListener(table, proxy.Config{Clients: 20000})
	carrier := postgres.New(listener, postgres.Config{})
	var g errgroup.Group
	g.Go(func() error { return renew(ctx, table, o.member) })
	g.Go(func() error { return carrier.Run(ctx) })
	g.Go(func() error { return listener.Serve(ctx, from, carrier) })
	return g.Wait()
}

func renew(ctx context.Context, table *proxy.Table, member string) error {
	for {
		r := route.Route{Epoch: 1, Version: 1, State: route.Serving, Primary: "db", Address: member, For: 1500 * time.Millisecond}
		if err := table.Apply(proxy.Now(), r); err != nil {
			return err
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}
