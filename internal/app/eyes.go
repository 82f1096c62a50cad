package app

import (
	"context"
	"slices"
	"sync"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/disk"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/repository"
)

// eyes are what a daemon sees of its sources.
type eyes struct {
	d *daemon

	mu      sync.Mutex
	reports map[string]drill.Report // by source and ID: a report never changes
	notes   map[string]checkNote    // by source, repository and ID
}

// Status says how all sources are doing, without what was promised.
func (e *eyes) Status(context.Context) (api.Status, error) { return e.d.observed(), nil }

// Facts reads what a repository says of itself.
func (e *eyes) Facts(ctx context.Context, source, repo string) (repository.Facts, error) {
	p := e.d.part(source)
	if p == nil {
		return repository.Facts{}, unknownSource(source)
	}
	r, err := p.writers.get(ctx, repo)
	if err != nil {
		p.see(e.d.host(), repo, repository.Facts{}, err)
		return repository.Facts{}, err
	}
	f, err := r.Facts(ctx)
	p.see(e.d.host(), repo, f, err)
	if err != nil {
		return f, err
	}
	if err := e.d.catalog.Sync(ctx, catalog.Ref{Source: source, Repository: repo}, f); err != nil {
		e.d.host().Log.Warn("the catalog does not take what a repository holds", "source", source, "repository", repo, "err", err)
	}
	return f, nil
}

// Free implements watch.Eyes: a folder's disk is this host's, or is mounted here.
func (e *eyes) Free(_ context.Context, _, repo string) (int64, bool) {
	h := e.d.host()
	url := h.Config.Repositories[repo].Store
	dir, known := folderOf(url, h.Config.Dir())
	if !known {
		return 0, false
	}
	free, err := disk.Free(dir)
	return free, err == nil
}

// reportsRead is how many of the newest reports of a repository are read.
const reportsRead = 24

// Drills reads the newest reports of all repositories of a source. One that cannot be read or verified proves nothing and is left
// out: check names it.
func (e *eyes) Drills(ctx context.Context, source string) ([]drill.Report, error) {
	p := e.d.part(source)
	if p == nil {
		return nil, unknownSource(source)
	}
	trusted, err := e.d.host().trusted(source)
	if err != nil {
		return nil, err
	}
	var all []drill.Report
	for _, name := range p.config.Repositories {
		r, err := p.writers.get(ctx, name)
		if err != nil {
			continue
		}
		facts, err := r.Facts(ctx)
		if err != nil {
			continue
		}
		facts.Reports = slices.DeleteFunc(slices.Clone(facts.Reports), func(r repository.ReportRef) bool { return !isDrill(r.ID) })
		refs := facts.Reports[max(0, len(facts.Reports)-reportsRead):]
		for _, ref := range slices.Backward(refs) {
			if report, ok := e.report(ctx, source, ref.ID, r.Report, trusted); ok {
				all = append(all, report)
			}
		}
	}
	return all, nil
}

// report reads one report once.
func (e *eyes) report(ctx context.Context, source, id string, read func(context.Context, string) ([]byte, error), trusted []string) (drill.Report, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := source + "/" + id
	if r, ok := e.reports[key]; ok {
		return r, true
	}
	signed, err := read(ctx, id)
	if err != nil {
		return drill.Report{}, false
	}
	r, _, err := drill.VerifyReport(signed, trusted)
	if err != nil {
		return drill.Report{}, false
	}
	e.reports[key] = r
	return r, true
}
