package app

import (
	"context"
	"fmt"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/drill"
	"github.com/backstaydb/backstay/internal/retention"
)

// hands are what a daemon does with its sources when something is due.
type hands struct{ d *daemon }

// Base takes a base of a type.
func (h hands) Base(ctx context.Context, source, kind string) (api.Base, error) {
	if err := offered(h.d.host.Config.Sources[source].URL, kind); err != nil {
		return api.Base{}, err
	}
	return h.d.Backup(ctx, source, nil)
}

// Drill recovers to a target on scratch.
func (h hands) Drill(ctx context.Context, source, to string, checks []config.Check) (drill.Report, error) {
	reached, err := h.d.host.Open(ctx, Reach{Source: source, Spool: to != string(drill.Random)})
	if err != nil {
		return drill.Report{}, err
	}
	defer reached.Close() // it was only read
	report, _, err := reached.Drill(ctx, DrillOptions{Pick: drill.Pick(to), Tool: h.d.version, Checks: questions(checks)})
	return report, err
}

// Check reads a repository.
func (h hands) Check(ctx context.Context, source, repository string, deep bool) (api.Check, error) {
	reached, err := h.d.host.Open(ctx, Reach{Source: source, Repository: repository, Damaged: true})
	if err != nil {
		return api.Check{}, err
	}
	defer reached.Close() // it was only read
	return reached.Repositories[0].Check(ctx, deep, nil)
}

// Forget drops what a decision lists.
func (h hands) Forget(ctx context.Context, source, repository string, d retention.Decision) error {
	p := h.d.part(source)
	if p == nil {
		return unknownSource(source)
	}
	r, err := p.writers.get(ctx, repository)
	if err != nil {
		return err
	}
	return r.Drop(ctx, d.Names(), d.Summary)
}

// offered refuses a type of base that the engine of a source lacks.
func offered(url, kind string) error {
	if kind == "full" {
		return nil
	}
	return fmt.Errorf("take a base of type %q: the engine of %s takes full bases", kind, schemeOnly(url))
}
