package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/repository"
)

// hands are what a daemon does with its sources when something is due.
type hands struct{ d *daemon }

// Base takes a base of a type.
func (h hands) Base(ctx context.Context, source, kind string) (api.Base, error) {
	if err := offered(h.d.host().Config.Sources[source].URL, kind); err != nil {
		return api.Base{}, err
	}
	return h.d.Backup(ctx, source, nil)
}

// Drill recovers to a target on scratch.
func (h hands) Drill(ctx context.Context, source, to string, checks []config.Check) (drill.Report, error) {
	reached, err := h.d.host().Open(ctx, Reach{Source: source, Spool: to != string(drill.Random)})
	if err != nil {
		return drill.Report{}, err
	}
	defer reached.Close() // it was only read
	report, _, err := reached.Drill(ctx, DrillOptions{Pick: drill.Pick(to), Tool: h.d.version})
	return report, err
}

// Check reads a repository.
func (h hands) Check(ctx context.Context, source, repo string, deep bool) (repository.CheckReport, error) {
	reached, err := h.d.host().Open(ctx, Reach{Source: source, Repository: repo, Damaged: true})
	if err != nil {
		return repository.CheckReport{}, err
	}
	defer reached.Close() // it was only read
	return reached.Repositories[0].Repo.Check(ctx, repository.CheckOptions{Deep: deep})
}

// Repair replaces what is damaged from each of the other repositories in turn.
func (h hands) Repair(ctx context.Context, source, repo string, damage []repository.Damage) (repository.Repaired, error) {
	p := h.d.part(source)
	if p == nil {
		return repository.Repaired{}, unknownSource(source)
	}
	r, err := p.writers.get(ctx, repo)
	if err != nil {
		return repository.Repaired{}, err
	}
	var all repository.Repaired
	var errs []error
	for _, other := range p.config.Repositories {
		if other == repo {
			continue
		}
		from, err := p.writers.get(ctx, other)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		one, err := r.Repair(ctx, from, damage)
		errs = append(errs, err)
		all.Objects, all.Bytes, all.Left = append(all.Objects, one.Objects...), all.Bytes+one.Bytes, one.Left
		damage = slices.DeleteFunc(slices.Clone(damage), func(d repository.Damage) bool { return slices.Contains(one.Objects, d.Object) })
	}
	return all, errors.Join(errs...)
}

// Forget drops what was decided on.
func (h hands) Forget(ctx context.Context, source, repo string, order repository.Order) (repository.Dropped, error) {
	p := h.d.part(source)
	if p == nil {
		return repository.Dropped{}, unknownSource(source)
	}
	r, err := p.writers.get(ctx, repo)
	if err != nil {
		return repository.Dropped{}, err
	}
	return r.Drop(ctx, order)
}

// offered refuses a type of base that the engine of a source lacks.
func offered(url, kind string) error {
	if kind == "full" {
		return nil
	}
	return fmt.Errorf("take a base of type %q: the engine of %s takes full bases", kind, schemeOnly(url))
}
