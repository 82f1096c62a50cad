package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/api"
)

// Clusters says how the clusters of the file are doing, or only those named: by the word of the daemon, or, if none runs here, by asking
// the members now.
func (h *Host) Clusters(ctx context.Context, only ...string) ([]api.Cluster, error) {
	s, err := api.Dial(h.State()).Status(ctx)
	if errors.Is(err, api.ErrNotRunning) {
		s.Clusters, err = h.restingClusters(ctx)
	}
	out := []api.Cluster{}
	for _, c := range s.Clusters {
		if len(only) == 0 || slices.Contains(only, c.Name) {
			out = append(out, c)
		}
	}
	return out, err
}

// lookFor is how long members may take to answer a command.
const lookFor = 3 * time.Second

// restingClusters asks all members once.
func (h *Host) restingClusters(ctx context.Context) ([]api.Cluster, error) {
	var all []api.Cluster
	for _, name := range h.Config.ClusterNames() {
		c, err := h.openRouted(name, HostName(""), nil)
		if err != nil {
			return nil, err
		}
		all = append(all, c.resting(ctx))
	}
	return all, nil
}

// resting looks at a cluster for which nobody here leads clients anywhere.
func (c *clustered) resting(ctx context.Context) api.Cluster {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	c.router.Once(ctx)
	out := c.status()
	out.Running, out.State, out.Listeners = false, "closed", nil
	return out
}
