package app

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/watch"
)

const (
	dueAtOnce   = 20_000           // objects that are asked for at once
	notedAtOnce = 1000             // objects that were read before that is written down
	notedEvery  = 10 * time.Second // and the longest time before
)

// round reads of a repository what the catalog does not know to be good since a round of reading began, the oldest first. What was
// read is written down as it goes, so that a round that is killed goes on from there.
type round struct {
	catalog *catalog.Catalog
	ref     catalog.Ref
	repo    *repository.Repository
	check   watch.Check
	log     *slog.Logger
	now     func() time.Time

	since   time.Time // when what is in read began to be read
	read    []repository.Object
	damaged []catalog.Damage
}

// run reads until nothing is left, or until the time is over. A repository whose ledger does not say what is listed is read as it is.
func (r *round) run(ctx context.Context) (repository.CheckReport, error) {
	r.check.Begun = r.check.Begun.Truncate(time.Microsecond) // as the catalog keeps times
	if err := r.sync(ctx); err != nil {
		r.log.Warn("the catalog does not know what was read; all of it is", "source", r.ref.Source, "repository", r.ref.Repository, "err", err)
		return r.repo.Check(ctx, repository.CheckOptions{Deep: r.check.Deep})
	}
	var all repository.CheckReport
	for {
		due, more, err := r.due(ctx)
		if err != nil {
			return all, err
		}
		report, before := repository.CheckReport{}, all.Objects
		if len(due) > 0 || all.Objects == 0 { // the ledger is looked at in any case
			report, err = r.part(ctx, due)
		}
		all.Objects, all.Bytes, all.Left, all.Orphans = all.Objects+report.Objects, all.Bytes+report.Bytes, report.Left, report.Orphans
		all.Damage = append(all.Damage, unknown(all.Damage, report.Damage)...)
		if err != nil || report.Left > 0 || all.Objects == before || !more {
			return all, err
		}
	}
}

// unknown are those of found that are not known.
func unknown(known, found []repository.Damage) (list []repository.Damage) {
	have := map[repository.Damage]bool{}
	for _, d := range known {
		have[d] = true
	}
	for _, d := range found {
		if !have[d] {
			list = append(list, d)
		}
	}
	return list
}

func (r *round) sync(ctx context.Context) error {
	facts, err := r.repo.Facts(ctx)
	if err == nil {
		err = r.catalog.Sync(ctx, r.ref, facts)
	}
	return err
}

// due are the names of what is to be read next, and whether there may be more. What this round found damaged is not read again
// before it was repaired.
func (r *round) due(ctx context.Context) (names []string, more bool, err error) {
	list, err := r.catalog.Due(ctx, r.ref, catalog.Due{Deep: r.check.Deep, Before: r.check.Begun, Limit: dueAtOnce})
	names = []string{}
	for _, a := range list {
		if a.Damage == "" || a.Read.Before(r.check.Begun) {
			names = append(names, a.Name)
		}
	}
	return names, len(list) == dueAtOnce, err
}

// part reads some objects.
func (r *round) part(ctx context.Context, names []string) (repository.CheckReport, error) {
	r.since = r.now()
	report, err := r.repo.Check(ctx, repository.CheckOptions{Deep: r.check.Deep, Only: names, Until: r.check.Until, Read: func(o repository.Object, detail string) {
		r.read = append(r.read, o)
		if detail != "" {
			r.damaged = append(r.damaged, catalog.Damage{Object: o, Detail: detail})
		}
		if len(r.read) >= notedAtOnce || r.now().Sub(r.since) >= notedEvery {
			r.note(ctx)
		}
	}})
	r.note(ctx)
	return report, err
}

// note writes down what was read. What cannot be written down is read again.
func (r *round) note(ctx context.Context) {
	now := r.now()
	if len(r.read) > 0 {
		k := catalog.Check{Time: r.since, Deep: r.check.Deep, Objects: r.read, Damaged: r.damaged}
		if err := r.catalog.Checked(context.WithoutCancel(ctx), r.ref, k); err != nil {
			r.log.Warn("what was read is not written down", "source", r.ref.Source, "repository", r.ref.Repository, "err", err)
		}
	}
	r.since, r.read, r.damaged = now, nil, nil
}

// Ages implements watch.Eyes.
func (e *eyes) Ages(ctx context.Context, source, repo string) (shallow, deep time.Time, err error) {
	return e.d.catalog.Oldest(ctx, catalog.Ref{Source: source, Repository: repo})
}

// noteRepair writes down that what was mended is as it was listed, a base where all that was found of it was mended. Whether it can be
// decrypted is for a deep check to say.
func (d *daemon) noteRepair(ctx context.Context, ref catalog.Ref, r *repository.Repository, found []repository.Damage, mended []string) error {
	whole := map[string]bool{}
	for _, object := range mended {
		whole[unitOf(ref.Source, object)] = true
	}
	fine := map[string]bool{}
	for _, object := range mended {
		fine[object] = true
	}
	for _, damage := range found {
		if !fine[damage.Object] {
			delete(whole, unitOf(ref.Source, damage.Object))
		}
	}
	facts, err := r.Facts(ctx)
	if err != nil {
		return err
	}
	var objects []repository.Object
	for _, o := range facts.Objects {
		if whole[unitOf(ref.Source, ref.Source+"/"+o.Name)] {
			objects = append(objects, o)
		}
	}
	return d.catalog.Checked(ctx, ref, catalog.Check{Time: d.host().Now(), Objects: objects})
}

// unitOf is what the ledger lists of an object, named as in the store: a base as a whole, anything else by itself.
func unitOf(source, object string) string {
	name := strings.TrimPrefix(object, source+"/")
	if id, isBase := strings.CutPrefix(name, "base/"); isBase {
		id, _, _ = strings.Cut(id, "/")
		return "base/" + id
	}
	return name
}
