package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/repository"
	"github.com/backstaydb/backstay/internal/retention"
	"github.com/backstaydb/backstay/internal/watch"
)

// Plan asks the daemon what is due and what comes, of all sources or of those named. ErrNotRunning if none runs.
func (h *Host) Plan(ctx context.Context, only ...string) ([]api.Job, error) {
	jobs, err := api.Dial(h.State()).Plan(ctx)
	if len(only) > 0 {
		jobs = slices.DeleteFunc(jobs, func(j api.Job) bool { return !slices.Contains(only, j.Source) })
	}
	return jobs, err
}

// Pause has the daemon begin no job of a source.
func (h *Host) Pause(ctx context.Context, source string, p api.Pause) error {
	return api.Dial(h.State()).Pause(ctx, source, p)
}

// Resume ends a pause.
func (h *Host) Resume(ctx context.Context, source string, p api.Pause) error {
	return api.Dial(h.State()).Resume(ctx, source, p)
}

// RunNow has the daemon begin a job, and returns what that leads to.
func (h *Host) RunNow(ctx context.Context, source string, p api.Pause) (string, error) {
	return api.Dial(h.State()).RunNow(ctx, source, p)
}

// Runs lists the newest runs of jobs on this host, the newest first; of one source unless it is "".
func (h *Host) Runs(ctx context.Context, source string, last int) ([]api.Run, error) {
	out := []api.Run{}
	c, err := catalog.Join(ctx, h.catalogFile())
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	runs, err := c.Runs(ctx, catalog.RunFilter{Source: source, Last: last})
	for _, r := range runs {
		run := api.Run{Source: r.Source, Kind: r.Kind, Why: r.Decision, Began: r.Began, Ended: r.Ended, Outcome: r.Outcome, Detail: r.Error, Bytes: r.Bytes}
		for _, p := range r.Phases {
			run.Detail = p.Name
		}
		out = append(out, run)
	}
	return out, errors.Join(err, c.Close())
}

// Retained is a decision about one repository.
type Retained struct {
	Repository string `json:"repository"`
	watch.Forgetting
}

// Retention decides for each repository of a source what may be forgotten, and, if drop is set, drops it. What is to be moved to a
// colder repository is shown; the daemon moves it.
func (h *Host) Retention(ctx context.Context, source string, drop bool) ([]Retained, error) {
	cfg := h.Config.Sources[source]
	rules, err := watch.Rules(cfg.Promise, cfg.Hold)
	if err != nil {
		return nil, err
	}
	reached, err := h.Open(ctx, Reach{Source: source})
	if err != nil {
		return nil, err
	}
	defer reached.Close() // what is dropped goes through a repository of its own
	var reports []drill.Report
	for _, o := range reached.Repositories {
		reports = append(reports, h.reports(ctx, source, o)...)
	}
	held := map[string]history.History{}
	for _, o := range reached.Repositories {
		held[o.Name] = o.Facts.History
	}
	decided := watch.Forget(cfg.Promise, rules, held, func(string) retention.Facts { return watch.RetentionFacts(reports, nil) }, h.Now())
	var all []Retained
	var errs []error
	for _, f := range reached.Failures {
		errs = append(errs, fmt.Errorf("repository %s: %w", f.Name, f.Err))
	}
	for _, o := range reached.Repositories {
		d := decided[o.Name]
		all = append(all, Retained{Repository: o.Name, Forgetting: d})
		if drop && len(d.Drop) > 0 {
			errs = append(errs, h.drop(ctx, source, o, d.Decision))
		}
	}
	return all, errors.Join(errs...)
}

// drop carries a decision out.
func (h *Host) drop(ctx context.Context, source string, o OpenRepository, d retention.Decision) error {
	signer, err := h.signer()
	if err != nil {
		return err
	}
	trusted, err := h.trusted(source)
	if err != nil {
		return err
	}
	key, err := h.key("")
	if err != nil {
		return err
	}
	if err := h.maySign(ctx, source, o, signer, key); err != nil {
		return fmt.Errorf("forget in repository %s: %w", o.Name, err)
	}
	repo, err := repository.Open(ctx, o.Repo.Store(), repository.Options{Source: source, Signer: signer, Trusted: trusted, Seen: h.seen(source, o.Name), Lock: h.lockOf(o.Name), Log: h.Log, Now: h.Now})
	if err != nil {
		return fmt.Errorf("forget in repository %s: %w", o.Name, err)
	}
	if err := errors.Join(dropped(repo.Drop(ctx, repository.Order{Names: d.Names(), Reason: d.Summary, Decided: o.Facts.Head.Size})), repo.Close()); err != nil {
		return fmt.Errorf("forget in repository %s: %w", o.Name, err)
	}
	return nil
}

// reports reads the drill reports of a repository that can be read and verified.
func (h *Host) reports(ctx context.Context, source string, o OpenRepository) []drill.Report {
	trusted, err := h.trusted(source)
	if err != nil {
		return nil
	}
	var all []drill.Report
	for _, ref := range o.Facts.Reports {
		if !isDrill(ref.ID) {
			continue
		}
		signed, err := o.Repo.Report(ctx, ref.ID)
		if err != nil {
			continue
		}
		if r, _, err := drill.VerifyReport(signed, trusted); err == nil {
			all = append(all, r)
		}
	}
	return all
}

// CheckConfig says what in the file cannot be kept here.
func (h *Host) CheckConfig(context.Context) error {
	for _, name := range h.Config.SourceNames() {
		s := h.Config.Sources[name]
		if _, _, err := protectorOf(s.URL, h.Config); err != nil {
			return &SourceError{Source: name, Err: err}
		}
		for kind := range s.Base {
			if err := offered(s.URL, kind); err != nil {
				return &SourceError{Source: name, Err: err}
			}
		}
	}
	for name, r := range h.Config.Repositories {
		if err := validStore(r.Store); err != nil {
			return fmt.Errorf("repository %s: %w", name, err)
		}
	}
	return nil
}

// dropped is the error of a drop: what is left is deleted by a sweep.
func dropped(_ repository.Dropped, err error) error { return err }

// Drills lists the drills of a source that its repositories hold reports of, the newest first.
func (h *Host) Drills(ctx context.Context, source string) ([]drill.Report, error) {
	reached, err := h.Open(ctx, Reach{Source: source})
	if err != nil {
		return nil, err
	}
	defer reached.Close() // it was only read
	all := []drill.Report{}
	for _, o := range reached.Repositories {
		all = append(all, h.reports(ctx, source, o)...)
	}
	slices.SortFunc(all, func(a, b drill.Report) int { return b.Ended.Compare(a.Ended) })
	return slices.CompactFunc(all, func(a, b drill.Report) bool { return a.ID() == b.ID() && a.Repository == b.Repository }), nil
}
