package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/archive"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/metrics"
	"github.com/backstaydb/backstay/internal/watch"
)

// part is the running source of a name; nil if there is none.
func (d *daemon) part(source string) *protected {
	for _, p := range d.parts {
		if p.name == source {
			return p
		}
	}
	return nil
}

func unknownSource(source string) error {
	return &SourceError{Source: source, Err: errors.New("the daemon does not know it; restart it after a change of backstay.yaml")}
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
		all = append(all, watch.Source{Name: name, Source: source, Reads: len(key.Identities) > 0})
	}
	return all, nil
}

// keepWatch builds what keeps the promises of a daemon.
func (d *daemon) keepWatch(ctx context.Context) error {
	sources, err := d.host.watched(d.only)
	if err != nil {
		return err
	}
	if d.catalog, err = d.host.openCatalog(ctx); err != nil {
		return err
	}
	if d.log, err = d.host.auditLog(ctx, d.version, "daemon"); err != nil {
		return err
	}
	if d.notifier, d.pings, err = d.host.notifier(ctx, d.well, d.summary); err != nil {
		return err
	}
	d.metrics = metrics.New(metrics.Config{Status: d.observed, Receivers: d.receivers, Well: d.well, Log: d.host.Log, Now: d.host.Now})
	d.watch, err = watch.New(ctx, watch.Config{Sources: sources, Hands: hands{d}, Eyes: &eyes{d: d, reports: map[string]drill.Report{}, notes: map[string]checkNote{}},
		Book: book{d.catalog}, Audit: d.record, Notifier: d.notifier, Metrics: d.metrics, Now: d.host.Now, Log: d.host.Log})
	if err != nil {
		return err
	}
	for _, p := range d.parts {
		p.told = func(e archive.Event) { d.watch.Hear(p.name, e) }
	}
	return nil
}

// promise starts what keeps the promises; all of it ends with ctx.
func (d *daemon) promise(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return d.watch.Run(ctx) })
	if d.catalog.Opened().Fresh {
		g.Go(func() error { d.rebuild(ctx); return nil })
	}
	g.Go(func() error { return d.copyAudit(ctx) })
	for _, p := range d.pings {
		g.Go(func() error { return p.Run(ctx) })
	}
	if m := d.host.Config.Metrics; m != nil {
		g.Go(func() error { return d.metrics.Serve(ctx, m.Listen) })
	}
}

// well says why the daemon is not well: nobody could be told of anything.
func (d *daemon) well() error {
	if d.notifier != nil && !d.notifier.Status().Well() {
		return errors.New("no receiver of notices takes any")
	}
	return nil
}

// summary is the first line of a daily summary.
func (d *daemon) summary(time.Time) string {
	s, err := d.Status(context.Background())
	switch {
	case err != nil || s.Kept == nil:
		return fmt.Sprintf("%d sources are protected; no promise was made for them", len(s.Sources))
	case *s.Kept:
		return fmt.Sprintf("all promises to %d sources are kept", len(s.Sources))
	}
	return "not all promises are kept"
}

// receivers are those who are told, as metrics shows them.
func (d *daemon) receivers() []metrics.Receiver {
	if d.notifier == nil {
		return nil
	}
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
