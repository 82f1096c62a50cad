package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/watch"
)

// stateElsewhere is that of a source which another host captures.
const stateElsewhere = "elsewhere"

// onlyKinds are the jobs that a daemon can be limited to: those that need the repositories and a key, and not the source.
var onlyKinds = []string{watch.KindDrill, watch.KindCheck}

// validOnly refuses jobs that cannot be had alone.
func validOnly(only []string) error {
	for _, kind := range only {
		if !slices.Contains(onlyKinds, kind) {
			return &config.Error{File: "--only", Message: fmt.Sprintf("a daemon cannot be limited to %q", kind), Advice: "it can be to " + strings.Join(onlyKinds, ", ")}
		}
	}
	return nil
}

// limited is what is left of a promise on a host that does only some jobs: the host that captures keeps the rest.
func limited(p config.Promise, only []string) config.Promise {
	if len(only) == 0 {
		return p
	}
	p.RPO, p.Window, p.DurableIn, p.Base, p.Keep = 0, 0, 0, nil, config.Keep{}
	if !slices.Contains(only, watch.KindDrill) {
		p.RTO, p.Drill = 0, config.Drill{}
	}
	if !slices.Contains(only, watch.KindCheck) {
		p.CheckEvery, p.DeepCheckEvery = 0, 0
	}
	return p
}

// openElsewhere opens what is known here of a source that another host captures: its repositories, with a key that can read. Those
// that do not answer, or hold nothing of it yet, are tried again.
func (h *Host) openElsewhere(ctx context.Context, name string) (*protected, error) {
	key, err := h.reader()
	if errors.Is(err, errNoReader) {
		err = &KeyError{Err: errors.New("drills and checks for another host need a key that can read"), Advice: "put a key of this host's own beside backstay.yaml as backstay.key, and let it read: backstay key add " + name + " NAME RECIPIENT"}
	}
	if err != nil {
		return nil, err
	}
	cfg := h.Config.Sources[name]
	kind := kindOf(cfg.URL, h.Config)
	w, err := h.guestWriters(name, kind, key)
	if err != nil {
		return nil, err
	}
	p := &protected{name: name, config: cfg, kind: kind, writers: w, stores: map[string]string{}, class: cfg.Class, owner: cfg.Owner, seen: map[string]api.Repository{}}
	for _, r := range cfg.Everywhere() {
		p.stores[r] = h.Config.Repositories[r].Store
		if _, err := w.get(ctx, r); err != nil && !isPassing(err) && !errors.Is(err, errMissing) {
			return nil, errors.Join(fmt.Errorf("repository %s: %w", r, err), w.close())
		}
	}
	return p, nil
}

// elsewhere reports whether another host captures the source.
func (p *protected) elsewhere() bool { return p.archive == nil }

// see keeps what a repository said of itself when it was read last, for status, which reads nothing.
func (p *protected) see(h *Host, name string, facts repository.Facts, err error) {
	if !p.elsewhere() {
		return
	}
	shown := h.resting(OpenRepository{Name: name, Store: p.stores[name], Facts: facts})
	if err != nil {
		shown = unwell(api.Repository{Name: name, Store: p.stores[name]}, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[name] = shown
}

// statusElsewhere shows a source that another host captures.
func (p *protected) statusElsewhere() api.Source {
	out := api.Source{Name: p.name, URL: p.config.URL, Engine: p.kind, State: stateElsewhere,
		Text: "another host captures it; here it is drilled and checked", Repositories: []api.Repository{}}
	out.Class, out.Owner = p.belongs()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range p.config.Everywhere() {
		if r, ok := p.seen[name]; ok {
			out.Repositories = append(out.Repositories, r)
		}
	}
	return out
}

// join opens all repositories of a source that another host captures, so that this one may sign reports there.
func (p *protected) join(ctx context.Context) error {
	if !p.elsewhere() {
		return nil
	}
	var errs []error
	for _, name := range p.config.Everywhere() {
		if _, err := p.writers.get(ctx, name); err != nil {
			errs = append(errs, fmt.Errorf("repository %s: %w", name, err))
		}
	}
	if len(errs) == len(p.config.Everywhere()) {
		return errors.Join(errs...)
	}
	return nil
}
