package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/watch"
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
	p := h.d.part(source)
	if p == nil {
		return drill.Report{}, unknownSource(source)
	}
	if err := p.join(ctx); err != nil {
		return drill.Report{}, err
	}
	reached, err := h.d.host().Open(ctx, Reach{Source: source, Spool: to != string(drill.Random)})
	if err != nil {
		return drill.Report{}, err
	}
	defer reached.Close() // it was only read
	report, _, err := reached.Drill(ctx, DrillOptions{Pick: drill.Pick(to), Tool: h.d.version, Checks: checks})
	return report, err
}

// Check reads a part of a repository, and writes down what it has read as it goes.
func (h hands) Check(ctx context.Context, source, repo string, c watch.Check) (repository.CheckReport, error) {
	host := h.d.host()
	reached, err := host.Open(ctx, Reach{Source: source, Repository: repo, Damaged: true})
	if err != nil {
		return repository.CheckReport{}, err
	}
	defer reached.Close() // it was only read
	p := h.d.part(source)
	if p != nil && p.elsewhere() {
		c.Until = time.Time{} // others are told of the whole
	}
	r := &round{catalog: h.d.catalog, ref: catalog.Ref{Source: source, Repository: repo}, repo: reached.Repositories[0].Repo, check: c, log: host.Log, now: host.Now}
	report, err := r.run(ctx)
	if err == nil && p != nil && p.elsewhere() {
		err = h.noteCheck(ctx, p, repo, c.Deep, report)
	}
	return report, err
}

// Repair replaces what is damaged from each of the other repositories in turn, the colder one among them: what moved there was copied
// byte for byte.
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
	found := damage
	for _, other := range p.config.Everywhere() {
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
	if len(all.Objects) > 0 {
		errs = append(errs, h.d.noteRepair(ctx, catalog.Ref{Source: source, Repository: repo}, r, found, all.Objects))
	}
	return all, errors.Join(errs...)
}

// Forget drops what was decided on, and locks what is kept for longer where objects are locked.
func (h hands) Forget(ctx context.Context, source, repo string, order repository.Order) (repository.Dropped, error) {
	p := h.d.part(source)
	if p == nil {
		return repository.Dropped{}, unknownSource(source)
	}
	r, err := p.writers.get(ctx, repo)
	if err != nil {
		return repository.Dropped{}, err
	}
	dropped, err := r.Drop(ctx, order)
	if err != nil {
		return dropped, err
	}
	_, err = r.ExtendLocks(ctx, order.Names)
	return dropped, err
}

// offered refuses a type of base that the engine of a source lacks.
func offered(url, kind string) error {
	if kind == "full" {
		return nil
	}
	return fmt.Errorf("take a base of type %q: the engine of %s takes full bases", kind, schemeOnly(url))
}
