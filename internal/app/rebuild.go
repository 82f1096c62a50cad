package app

import (
	"bytes"
	"context"

	"github.com/backstaydb/backstay/internal/catalog"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/repository"
)

// rebuild fills a catalog that is new from the repositories and the audit log, while everything else goes on. What cannot be
// read now is filled in by those who look at it later.
func (d *daemon) rebuild(ctx context.Context) {
	h := d.host()
	truth := catalog.Truth{Audit: d.log, Drill: drilled}
	for _, source := range h.Config.SourceNames() {
		for _, repo := range h.Config.Sources[source].Everywhere() {
			truth.Repositories = append(truth.Repositories, catalog.Opener{Ref: catalog.Ref{Source: source, Repository: repo},
				Open: func(ctx context.Context) (*repository.Repository, error) {
					o, err := h.openRepository(ctx, Reach{Source: source}, repo, Key{})
					return o.Repo, err
				}})
		}
	}
	done, err := d.catalog.Rebuild(ctx, truth)
	for ref, failed := range done.Failed {
		h.Log.Warn("the catalog does not have all of a repository yet", "source", ref.Source, "repository", ref.Repository, "err", failed)
	}
	if err != nil {
		h.Log.Warn("the catalog is not made anew as a whole", "err", err)
		return
	}
	if done.Objects+int64(done.Runs) > 0 {
		h.Log.Info("the catalog was made anew", "objects", done.Objects, "reports", done.Reports, "runs", done.Runs, "took", done.Took)
	}
}

// drilled is a signed drill report as the catalog keeps it.
func drilled(signed []byte, verifiers []string) (catalog.Drill, error) {
	if bytes.HasPrefix(signed, []byte(checkTitle)) || bytes.HasPrefix(signed, []byte(inviteTitle)) || isFingerprint(signed) {
		return catalog.Drill{}, catalog.ErrNoDrill
	}
	r, _, err := drill.VerifyReport(signed, verifiers)
	return catalog.Drill{Host: r.Host, Began: r.Began, Ended: r.Ended, Verdict: string(r.Verdict), Reason: r.Reason, Asked: r.Asked, Target: r.Target, Base: r.Base,
		Segments: r.Segments, LaidBytes: r.LaidBytes, LogBytes: r.LogBytes, FetchBytes: r.FetchBytes, FetchSeconds: r.FetchSeconds, LaySeconds: r.LaySeconds,
		ReplaySeconds: r.ReplaySeconds, StartSeconds: r.StartSeconds, VerifySeconds: r.VerifySeconds, DrillSeconds: r.DrillSeconds}, err
}
