package app

import (
	"context"
	"fmt"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/engine/postgres/member"
	"github.com/backstaydb/backstay/internal/history"
)

// recloner lays members anew from the repositories of the source that is their cluster.
type recloner struct {
	h      *Host
	source string
}

var _ member.Recloner = recloner{}

// Reclone implements member.Recloner. It needs a key that can read on this host.
func (r recloner) Reclone(ctx context.Context, dir string, timeline uint32) error {
	if _, err := r.h.reader(); err != nil {
		return err
	}
	reached, err := r.h.Open(ctx, Reach{Source: r.source, Mirror: true})
	if err != nil {
		return err
	}
	defer reached.Close() // it was only read
	plan, err := reached.PlanRestore(ctx, history.Target{Kind: history.Latest})
	if err != nil {
		return err
	}
	if stop := plan.Plan.Chain.Stop; stop.Timeline > timeline {
		return fmt.Errorf("its log ends at %s, on a later timeline than the primary's, %d", stop.Plain(), timeline)
	}
	plan.Placement = engine.Placement{Standby: true}
	_, err = plan.Run(ctx, dir, nil)
	return err
}
