package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/recovery"
)

// Restore is a planned restore: the plan, and the repository that it reads first.
type Restore struct {
	Plan       recovery.Plan
	Repository string
	Placement  engine.Placement // how it is laid out and what it is left as, where the engine has a choice

	reached *Reached
	origins []recovery.Origin // the chosen one first
	spools  []engine.Log      // what this host has beyond each of them; nil for nothing
	limits  recovery.Limits
	matches []history.Mark // the commits that the target can mean; the first was taken
}

// PlanRestore decides from which repository the target is recovered, and how. Of several that can reach it, the one
// whose log goes on furthest wins, and of equals the first in backstay.yaml.
func (r *Reached) PlanRestore(ctx context.Context, t history.Target) (*Restore, error) {
	repos := slices.Clone(r.Repositories)
	slices.SortStableFunc(repos, func(a, b OpenRepository) int {
		return cmp.Or(b.Facts.History.Whole.Position.Compare(a.Facts.History.Whole.Position), b.Facts.History.Whole.Time.Compare(a.Facts.History.Whole.Time))
	})
	var failures []error
	for i, o := range repos {
		plan, err := r.planFrom(ctx, o, t)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		for _, other := range slices.Delete(slices.Clone(repos), i, i+1) {
			origin, spool := r.withSpool(other.origin())
			plan.origins, plan.spools = append(plan.origins, origin), append(plan.spools, spool)
		}
		return plan, nil
	}
	return nil, failures[0]
}

// planFrom plans from one repository, and from the spool of this host where that is at hand.
func (r *Reached) planFrom(ctx context.Context, o OpenRepository, t history.Target) (*Restore, error) {
	e, err := r.Engine()
	if err != nil {
		return nil, err
	}
	origin, spool := r.withSpool(o.origin())
	target, matches, err := recovery.Resolve(ctx, origin, spool, e, t)
	if err != nil {
		return nil, err
	}
	limits := r.limits(ctx, o)
	plan, err := recovery.PlanFor(origin.History, target, limits)
	if err != nil {
		return nil, recovery.AskedFor(t, err)
	}
	plan.Asked = t
	plan.NoteSpool(spool)
	plan.NoteMatches(matches)
	return &Restore{Plan: plan, Repository: o.Name, reached: r, origins: []recovery.Origin{origin}, spools: []engine.Log{spool}, limits: limits, matches: matches}, nil
}

// Run carries the restore out. Where an object turns out to be damaged, and no other repository has an equal one, it
// goes another way to the same target, if there is one: by another base, or from another repository. Where something was
// dropped or replaced after it was planned it is planned again. Plan and Repository are then those of the way that led there.
func (p *Restore) Run(ctx context.Context, dir string, progress func(step recovery.Step, done, total int64)) (recovery.Result, error) {
	e, err := p.reached.Engine()
	if err != nil {
		return recovery.Result{}, err
	}
	var taken []recovery.Elsewhere
	for tries := 1; ; tries++ {
		if err := p.canRead(); err != nil {
			return recovery.Result{}, err
		}
		deps := recovery.Deps{Dir: dir, Engine: e, Origins: p.origins, Spool: p.spools[0], Placement: p.Placement, Progress: progress}
		if h := p.reached.host; h != nil {
			deps.Log, deps.Now = h.Log, h.Now
		}
		res, err := recovery.Run(ctx, p.Plan, deps)
		var forgotten *recovery.ForgottenError
		if errors.As(err, &forgotten) && tries < plansTried && p.again(ctx) == nil {
			continue
		}
		var damage *recovery.DamageError
		if !errors.As(err, &damage) || ctx.Err() != nil || !p.around(damage.Object) {
			res.Elsewhere = append(taken, res.Elsewhere...)
			return res, err
		}
		taken = append(taken, recovery.Elsewhere{Object: damage.Object.Name, Lacks: damage.Object.Repository, From: p.Repository, Reason: damage.Err.Error()})
	}
}

// plansTried bounds how often a plan that is out of date is made anew.
const plansTried = 5

// again plans from what the repositories say now.
func (p *Restore) again(ctx context.Context) error {
	for i, o := range p.reached.Repositories {
		now, err := Reach{}.facts(ctx, o)
		if err != nil {
			return err
		}
		p.reached.Repositories[i] = now
	}
	anew, err := p.reached.PlanRestore(ctx, p.Plan.Asked)
	if err != nil {
		return err
	}
	anew.Placement = p.Placement
	*p = *anew
	return nil
}

func (p *Restore) canRead() error {
	for _, o := range p.reached.Repositories {
		if o.Name == p.Repository && !o.Repo.CanRead() {
			return &KeyError{
				Err:    errors.New("restore needs a key that can read, and none is at hand"),
				Advice: fmt.Sprintf("name its file with --key; it can be read with the key of %s", readers(o)),
			}
		}
	}
	return nil
}

// around plans another way to the target that does without a damaged object; false if there is none.
func (p *Restore) around(damaged recovery.Object) bool {
	for i, o := range p.origins {
		p.origins[i] = o.Without(damaged)
	}
	for i, o := range p.origins {
		plan, err := recovery.PlanFor(o.History, p.Plan.Target, p.limits)
		if err != nil {
			continue
		}
		if p.Plan.Target.Kind == history.Latest && plan.Chain.Stop.Before(p.Plan.Chain.Stop) {
			continue // what is latest there is less than was planned
		}
		plan.Asked = p.Plan.Asked
		plan.NoteSpool(p.spools[i])
		plan.NoteMatches(p.matches)
		p.Plan, p.Repository = plan, o.Name
		p.origins[0], p.origins[i] = p.origins[i], p.origins[0]
		p.spools[0], p.spools[i] = p.spools[i], p.spools[0]
		return true
	}
	return false
}
