package app

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/metrics"
	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/ping"
	"github.com/backstaydb/backstay/internal/watch"
)

// RunOptions say how a daemon runs.
type RunOptions struct {
	Version string
	Exit    func(error) int  // finds the exit code of an error, for commands that ask
	Only    []string         // kinds of jobs, drill and check, of sources that another host captures; none means all, and capture
	Every   time.Duration    // how often Observe is told
	Observe func(api.Status) // may be nil
	Ended   func(api.Status) // told once, when all has ended in order; may be nil
}

// Run protects all sources of the file until ctx ends. It is one run group: the archive of each source, the control
// socket, and whoever observes; when one of them fails all end. A source that cannot be reached is no such failure:
// it is tried again, and Status says so.
func (h *Host) Run(ctx context.Context, o RunOptions) error {
	if err := validOnly(o.Only); err != nil {
		return err
	}
	unlock, err := lock(h.State())
	if err != nil {
		return err
	}
	defer unlock()
	h.sweep()
	d := &daemon{host: h, version: o.Version, only: o.Only, started: h.Now()}
	if err := d.open(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range d.parts {
		g.Go(func() error { return p.run(ctx) })
	}
	d.promise(ctx, g)
	g.Go(func() error { return api.Serve(ctx, h.State(), d, o.Exit) })
	if o.Observe != nil {
		g.Go(func() error { return d.observe(ctx, o) })
	}
	err = errors.Join(g.Wait(), d.catalog.Close())
	if o.Ended != nil {
		if s, statusErr := d.Status(ctx); statusErr == nil {
			o.Ended(s)
		}
	}
	return err
}

// daemon is a running Host.
type daemon struct {
	host    *Host
	version string
	only    []string // kinds of jobs; none means all
	started time.Time
	parts   []*protected

	watch    *watch.Watch
	catalog  *catalog.Catalog
	log      *audit.Log
	notifier *notify.Notifier // nil: nobody is to be told
	pings    []*ping.Pinger
	metrics  *metrics.Metrics
}

func (d *daemon) open(ctx context.Context) error {
	for _, name := range d.host.Config.SourceNames() {
		open := d.host.openSource
		if len(d.only) > 0 {
			open = d.host.openElsewhere
		}
		p, err := open(ctx, name)
		if err != nil {
			return err
		}
		d.parts = append(d.parts, p)
	}
	if len(d.parts) == 0 {
		return errors.New("backstay.yaml names no source")
	}
	return d.keepWatch(ctx)
}

func (d *daemon) observe(ctx context.Context, o RunOptions) error {
	ticks := time.NewTicker(o.Every)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticks.C:
			s, err := d.Status(ctx)
			if err != nil {
				return err
			}
			o.Observe(s)
		}
	}
}

// Status implements api.Controller.
func (d *daemon) Status(context.Context) (api.Status, error) {
	s := d.observed()
	for i := range s.Sources {
		source := &s.Sources[i]
		source.Promises = d.watch.Promises(source.Name)
		for _, p := range source.Promises {
			kept := (s.Kept == nil || *s.Kept) && (p.Kept || p.Exception != "")
			s.Kept = &kept
		}
	}
	return s, nil
}

// observed is how all sources are doing, without what was promised.
func (d *daemon) observed() api.Status {
	s := api.Status{Version: d.version, Running: true, PID: os.Getpid(), Started: &d.started, Sources: []api.Source{}}
	for _, p := range d.parts {
		s.Sources = append(s.Sources, p.status())
	}
	return s
}

// Backup implements api.Controller.
func (d *daemon) Backup(ctx context.Context, source string, progress func(api.Progress)) (api.Base, error) {
	if p := d.part(source); p != nil {
		return p.backup(ctx, progress)
	}
	return api.Base{}, unknownSource(source)
}
