package app

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/archive"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/metrics"
	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/ping"
	"github.com/backstaydb/backstay/internal/watch"
)

// part is the running source of a name; nil if there is none.
func (d *daemon) part(source string) *protected {
	if p := d.fleet.find(source); p != nil {
		return p.protected
	}
	return nil
}

func unknownSource(source string) error {
	return &SourceError{Source: source, Err: errors.New("the daemon does not know it; after a change of backstay.yaml have it read anew: systemctl reload, or SIGHUP")}
}

func schemeOnly(url string) string {
	scheme, _, _ := strings.Cut(url, ":")
	return scheme
}

// watched are the sources of the file with what was promised for them. A host without a key that can read does not drill and does not
// check deep: another host does, and its reports are found in the repositories.
func (h *Host) watched(only []string) ([]watch.Source, error) {
	key, err := h.key("")
	if err != nil {
		return nil, err
	}
	var all []watch.Source
	for _, name := range h.Config.SourceNames() {
		source := h.Config.Sources[name]
		source.Promise = limited(source.Promise, only)
		all = append(all, watch.Source{Name: name, Source: source, Reads: len(key.Identities) > 0, Fingerprints: len(only) == 0 && fingerprints(source.URL, h.Config)})
	}
	return all, nil
}

// keepWatch builds what keeps the promises of a daemon.
func (d *daemon) keepWatch(ctx context.Context) error {
	h := d.host()
	sources, err := h.watched(d.only)
	if err != nil {
		return err
	}
	if d.catalog, err = h.openCatalog(ctx); err != nil {
		return err
	}
	if d.log, err = h.auditLog(ctx, d.version, "daemon"); err != nil {
		return err
	}
	receivers, pings, err := h.receivers(ctx, d.well)
	if err != nil {
		return err
	}
	d.others = others{pings: pings, changed: make(chan struct{}, 1)}
	if d.notifier, err = notify.Open(notify.Config{Dir: filepath.Join(h.State(), "notices"), Receivers: receivers, Summary: d.summary, Log: h.Log}); err != nil {
		return err
	}
	d.metrics = metrics.New(metrics.Config{Status: d.observed, Receivers: d.receivers, Well: d.well, Log: h.Log, Now: h.Now})
	d.watch, err = watch.New(ctx, watch.Config{Sources: sources, Hands: working{hands{d}}, Eyes: &eyes{d: d, reports: map[string]drill.Report{}, notes: map[string]checkNote{}},
		Book: book{d.catalog}, Audit: d.record, Notifier: d.notifier, Metrics: d.metrics, Now: h.Now, Log: h.Log})
	if err != nil {
		return err
	}
	for _, p := range d.fleet.all() {
		d.listen(p.protected)
	}
	return nil
}

// listen has the watch hear what happens to a source, before it runs.
func (d *daemon) listen(p *protected) {
	p.told = func(e archive.Event) { d.watch.Hear(p.name, e) }
	p.primary = func() string { return d.primaryOf(config.ClusterOf(p.config.URL)) }
	p.own = func(ctx context.Context, take func(context.Context) error) error { return d.ownBase(ctx, p.name, take) }
}

// promise starts what keeps the promises; all of it ends with ctx.
func (d *daemon) promise(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return d.watch.Run(ctx) })
	if d.catalog.Opened().Fresh {
		g.Go(func() error { d.rebuild(ctx); return nil })
	}
	g.Go(func() error { return d.copyAudit(ctx) })
	g.Go(func() error { return d.followGuests(ctx) })
	g.Go(func() error { return d.serveOthers(ctx) })
}

// others are what runs besides as the file says: pings, and what Prometheus reads.
type others struct {
	mu      sync.Mutex
	pings   []*ping.Pinger
	changed chan struct{}
}

// set puts other pings in their place, and has all begin anew.
func (o *others) set(pings []*ping.Pinger) {
	o.mu.Lock()
	o.pings = pings
	o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// serveOthers runs the others until ctx ends. An address for metrics that cannot be had keeps the daemon from starting; with a reload
// it is told.
func (d *daemon) serveOthers(ctx context.Context) error {
	for first := true; ; first = false {
		inner, end := context.WithCancel(ctx)
		g, round := errgroup.WithContext(inner)
		d.others.mu.Lock()
		for _, p := range d.others.pings {
			g.Go(func() error { return p.Run(round) })
		}
		d.others.mu.Unlock()
		if m := d.host().Config.Metrics; m != nil {
			g.Go(func() error {
				err := d.metrics.Serve(round, m.Listen)
				if round.Err() == nil && !first {
					d.host().Log.Error("metrics are not served", "err", err)
					return nil
				}
				return err
			})
		}
		select {
		case <-round.Done():
		case <-d.others.changed:
		}
		end()
		if err := g.Wait(); ctx.Err() != nil || err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
}

// well says why the daemon is not well: nobody could be told of anything.
func (d *daemon) well() error {
	if !d.notifier.Status().Well() {
		return errors.New("no receiver of notices takes any")
	}
	return nil
}

// summary is the first line of a daily summary.
func (d *daemon) summary(time.Time) string {
	s, err := d.Status(context.Background())
	if err != nil {
		return err.Error()
	}
	return sentence(s)
}

// receivers are those who are told, as metrics shows them.
func (d *daemon) receivers() []metrics.Receiver {
	var all []metrics.Receiver
	for _, r := range d.notifier.Status().Receivers {
		all = append(all, metrics.Receiver{Name: r.Name, Sent: r.Sent, Lost: r.Lost, Waiting: r.Waiting, Delivered: r.Delivered, Failing: !r.Failing.IsZero(), Dead: r.Dead})
	}
	return all
}

// Plan implements api.Controller.
func (d *daemon) Plan(context.Context) ([]api.Job, error) { return d.watch.Plan(), nil }

// Pause implements api.Controller.
func (d *daemon) Pause(ctx context.Context, source string, p api.Pause) error {
	return d.watch.Pause(ctx, source, p.Kind, p.By, p.Reason, p.Until)
}

// Resume implements api.Controller.
func (d *daemon) Resume(ctx context.Context, source string, p api.Pause) error {
	return d.watch.Resume(ctx, source, p.Kind, p.By)
}

// RunNow implements api.Controller.
func (d *daemon) RunNow(ctx context.Context, source string, p api.Pause) (string, error) {
	return d.watch.RunNow(ctx, source, p.Kind, p.By)
}
