package keeper

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

// Suppose says what would come of a request if a person made it now, by what this keeper sees, whether it leads or not. It changes nothing.
func (k *Keeper) Suppose(ctx context.Context, r cluster.Request) (cluster.Forecast, error) {
	s, err := k.seen(ctx)
	switch {
	case err != nil:
		return cluster.Forecast{}, fmt.Errorf("suppose a %s: %w", r.Kind, err)
	case s.State.Request != nil:
		return cluster.Forecast{}, fmt.Errorf("suppose a %s: a %s asked for by %s is under way", r.Kind, s.State.Request.Kind, s.State.Request.By)
	case s.State.Phase != cluster.Serving:
		return cluster.Forecast{}, fmt.Errorf("suppose a %s: the cluster is %s: %s", r.Kind, s.State.Phase, s.State.Reason)
	}
	s.State.Request = &r
	s.View.Asked = s.Now - max(k.c.Cluster.After, k.c.Cluster.Ahead) // what is done ahead is over: what follows it is of interest
	return cluster.Foresee(k.c.Cluster, s.State, s.View, s.Now), nil
}

// seen is the status once this keeper has looked for as long as it takes to tell who is silent.
func (k *Keeper) seen(ctx context.Context) (Status, error) {
	ctx, stop := context.WithTimeoutCause(ctx, readWithin+k.c.Cluster.After, fmt.Errorf("the coordination of cluster %s does not answer", k.c.Cluster.Cluster))
	defer stop()
	for {
		if s := k.Status(); s.Known && (allAnswered(s.View) || s.Now-s.View.Began >= k.c.Cluster.After) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return Status{}, context.Cause(ctx)
		case <-time.After(changing):
		}
	}
}

func allAnswered(v cluster.View) bool {
	for i := range v.Facts {
		if v.Facts[i].Answered == cluster.Never {
			return false
		}
	}
	return true
}
