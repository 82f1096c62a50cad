package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/metrics"
	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/systemd"
	"github.com/backstaydb/backstay/internal/watch"
)

// RunOptions say how a daemon runs.
type RunOptions struct {
	Version string
	Exit    func(error) int  // finds the exit code of an error, for commands that ask
	Host    string           // the name by which the file knows this host; "" is the system's own
	Only    []string         // kinds of jobs, drill and check, of sources that another host captures; none means all, and capture
	Every   time.Duration    // how often Observe is told
	Observe func(api.Status) // may be nil
	Ended   func(api.Status) // told once, when all has ended in order; may be nil
	Bases   <-chan struct{}  // each value has a base of every source taken; nil: never
	Reload  <-chan struct{}  // each value has backstay.yaml read anew; nil: never
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
	d := &daemon{version: o.Version, only: o.Only, started: h.Now(), name: HostName(o.Host)}
	if d.manager, err = systemd.FromEnvironment(); err != nil {
		h.Log.Warn("the service manager is not understood", "err", err)
	}
	h = d.captures(h)
	h.bounded()
	d.now.Store(h)
	ctx, endTraces := h.tracing(ctx, o.Version)
	defer endTraces()
	if err := d.open(ctx); err != nil {
		return errors.Join(err, d.close())
	}
	g, ctx := errgroup.WithContext(ctx)
	d.fleet.start(ctx, g)
	if d.house != nil {
		d.house.told = d.joined
		g.Go(func() error { return d.house.run(ctx) })
	}
	d.clusters.start(ctx, g)
	d.promise(ctx, g)
	g.Go(func() error { return d.judgeClusters(ctx) })
	g.Go(func() error { return api.Serve(ctx, h.State(), d, o.Exit) })
	g.Go(func() error { return d.heard(ctx) })
	if o.Observe != nil {
		g.Go(func() error { return d.observe(ctx, o) })
	}
	if o.Reload != nil {
		g.Go(func() error { return d.reloads(ctx, o.Reload) })
	}
	if o.Bases != nil {
		g.Go(func() error { return d.signalled(ctx, o.Bases) })
	}
	err = errors.Join(g.Wait(), d.close())
	if o.Ended != nil {
		if s, statusErr := d.Status(ctx); statusErr == nil {
			o.Ended(s)
		}
	}
	return err
}

// daemon is a running Host.
type daemon struct {
	version string
	only    []string // kinds of jobs; none means all
	started time.Time
	manager systemd.Manager
	now     atomic.Pointer[Host] // what the file in force says; a reload puts another in its place

	name     string // of this host in the file
	fleet    fleet
	house    *house // nil: no cluster of the file is managed here
	clusters clusters
	watch    *watch.Watch
	catalog  *catalog.Catalog
	log      *audit.Log
	notifier *notify.Notifier
	metrics  *metrics.Metrics
	others   others // what else follows the file

	mu      sync.Mutex
	refused error // why the file as it lies there is not in force; nil if it is
	unwell  error // as it was found last
}

// host is what the file in force says.
func (d *daemon) host() *Host { return d.now.Load() }

// open opens all that the daemon works with. What was opened when it fails is left to close.
func (d *daemon) open(ctx context.Context) (err error) {
	names := d.host().Config.SourceNames()
	if len(names) == 0 && len(d.host().Config.Clusters) == 0 && len(d.host().Config.Elsewhere) == 0 {
		return errNothing
	}
	for i, name := range names {
		d.say(fmt.Sprintf("opening source %s, %d of %d", name, i+1, len(names)))
		p, err := d.openSource(ctx, d.host(), name)
		if err != nil {
			return err
		}
		d.fleet.add(p)
	}
	if d.house, err = d.host().openHouse(d.name); err != nil {
		return err
	}
	if d.house != nil {
		d.house.part = d.part
	}
	opened, err := d.openClusters(d.host(), nil)
	if err != nil {
		return err
	}
	for _, p := range opened {
		d.clusters.add(p)
		if err := p.built.Load().listen(); err != nil {
			return err
		}
	}
	return d.keepWatch(ctx)
}

// errNothing says that there is nothing to do for a daemon.
var errNothing = errors.New("backstay.yaml names neither a source nor a cluster")

// captures is h with what this host captures of the file. A daemon that does only some jobs does them for all sources.
func (d *daemon) captures(h *Host) *Host {
	if len(d.only) > 0 {
		return h
	}
	own := *h
	own.Config = h.Config.On(d.name)
	return &own
}

// openSource opens a source to be captured, or, where only some jobs are done, as one that another host captures.
func (d *daemon) openSource(ctx context.Context, h *Host, name string) (*protected, error) {
	if len(d.only) > 0 {
		return h.openElsewhere(ctx, name)
	}
	return h.openSource(ctx, name, newGuide(h.Config, name))
}

// close closes what is open when nothing runs any more.
func (d *daemon) close() error {
	d.clusters.close()
	err := d.fleet.close()
	if d.house != nil {
		_ = d.house.close() // most of it was closed by what ran
	}
	if d.log != nil {
		err = errors.Join(err, d.log.Close())
	}
	if d.catalog != nil {
		err = errors.Join(err, d.catalog.Close())
	}
	return err
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
	for _, p := range d.fleet.all() {
		s.Sources = append(s.Sources, p.status())
	}
	s.Clusters = d.clusters.shown()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refused != nil {
		s.Refused = d.refused.Error()
		if hint := hintOf(d.refused); hint != "" {
			s.Refused += "; " + hint
		}
	}
	return s
}

// signalled has a base of every source taken whenever it is asked to: by the schedule, with its bounds, where that takes bases of a
// source, else at once, one after the other.
func (d *daemon) signalled(ctx context.Context, asked <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-asked:
		}
		d.host().Log.Info("a signal asks for bases of all sources")
		for _, p := range d.fleet.all() {
			if p.elsewhere() {
				continue
			}
			scheduled, err := d.watch.Signalled(ctx, p.name)
			if !scheduled {
				_, err = d.Backup(ctx, p.name, nil)
			}
			if err != nil && ctx.Err() == nil {
				d.host().Log.Error("a base that a signal asked for is not taken", "source", p.name, "err", err)
			}
		}
	}
}

// Backup implements api.Controller.
func (d *daemon) Backup(ctx context.Context, source string, progress func(api.Progress)) (b api.Base, err error) {
	p := d.part(source)
	if p == nil {
		return api.Base{}, unknownSource(source)
	}
	err = d.host().hooked(ctx, source, workBase, d.record, func() error {
		b, err = p.backup(ctx, progress)
		return err
	})
	return b, err
}
