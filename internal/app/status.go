package app

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/config"
)

// The states of a source and of a repository, as api says them.
const (
	stateStopped = "stopped"
	stateOK      = "ok"
	stateBehind  = "behind"
	stateFailing = "failing"
	stateEmpty   = "empty"
)

// Status asks the daemon of this folder, or, if none runs, reads the repositories. Sources named in only limit it.
func (h *Host) Status(ctx context.Context, only ...string) (api.Status, error) {
	s, err := api.Dial(h.State()).Status(ctx)
	if errors.Is(err, api.ErrNotRunning) {
		s, err = h.restingStatus(ctx)
	}
	if err != nil || len(only) == 0 {
		return s, err
	}
	var kept []api.Source
	for _, source := range s.Sources {
		for _, name := range only {
			if source.Name == name {
				kept = append(kept, source)
			}
		}
	}
	s.Sources = kept
	return s, nil
}

// RunningStatus asks the daemon that runs with the file at path, whatever that file says by now; api.ErrNotRunning if none does.
func RunningStatus(ctx context.Context, path string) (api.Status, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return api.Status{}, err
	}
	return api.Dial((&config.Config{Path: abs}).StateDir()).Status(ctx)
}

// restingStatus is what the repositories tell while no daemon runs.
func (h *Host) restingStatus(ctx context.Context) (api.Status, error) {
	s := api.Status{Sources: []api.Source{}}
	key, err := h.key("")
	if err != nil {
		return s, err
	}
	for _, name := range h.Config.SourceNames() {
		cfg := h.Config.Sources[name]
		source := api.Source{Name: name, URL: cfg.URL, Engine: kindOf(cfg.URL, h.Config), State: stateStopped, Text: "no daemon is running here", SpoolLimit: cfg.Limit(), Repositories: []api.Repository{}}
		for _, repo := range cfg.Repositories {
			shown := api.Repository{Name: repo, Store: h.Config.Repositories[repo].Store, State: stateOK}
			if o, err := h.openRepository(ctx, Reach{Source: name}, repo, key); err != nil {
				shown = unwell(shown, err)
			} else {
				shown = h.resting(o)
			}
			source.Repositories = append(source.Repositories, shown)
		}
		s.Sources = append(s.Sources, source)
	}
	return s, nil
}

// resting shows a repository by what its ledger says.
func (h *Host) resting(o OpenRepository) api.Repository {
	facts := o.Facts
	r := api.Repository{Name: o.Name, Store: o.Store, State: stateOK, Bases: len(facts.History.Bases), StoredBytes: facts.StoredBytes}
	for _, b := range facts.History.Bases {
		if b.StopTime.After(r.LastBase) {
			r.LastBase = b.StopTime
		}
	}
	if windows := facts.History.Windows(); len(windows) > 0 {
		last := windows[len(windows)-1]
		r.Position, r.DurableTime = last.End, last.Until
		r.LagSeconds = h.Now().Sub(last.Until).Seconds()
	} else {
		r.State = stateEmpty
	}
	return r
}

// unwell is a repository that did not answer.
func unwell(r api.Repository, err error) api.Repository {
	r.State, r.Error, r.Hint = stateFailing, err.Error(), hintOf(err)
	return r
}
