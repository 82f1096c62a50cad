package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/backstaydb/backstay/internal/api"
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
func (h *Host) watched() ([]watch.Source, error) {
	key, err := h.key("")
	if err != nil {
		return nil, err
	}
	var all []watch.Source
	for _, name := range h.Config.SourceNames() {
		all = append(all, watch.Source{Name: name, Source: h.Config.Sources[name], Reads: len(key.Identities) > 0})
	}
	return all, nil
}

// keepWatch builds the watch of a daemon.
func (d *daemon) keepWatch(ctx context.Context) error {
	sources, err := d.host.watched()
	if err != nil {
		return err
	}
	dir := filepath.Join(d.host.State(), "promises")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	d.watch, err = watch.New(ctx, watch.Config{Sources: sources, Hands: hands{d}, Eyes: d.eyes(), Book: d.book, Audit: d.audit,
		Notifier: d.notifier, Metrics: d.metrics, Now: d.host.Now, Log: d.host.Log})
	return err
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
