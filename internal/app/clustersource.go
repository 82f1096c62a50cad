package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/engine/postgres"
	"github.com/backstaydb/backstay/internal/history"
)

// groupOf is the engine of a source that is a cluster of the file. It finds the primary by asking the members, unless a daemon leads it.
func groupOf(name string, cfg *config.Config) (postgres.Group, error) {
	own, ok := cfg.Clusters[name]
	if !ok {
		return postgres.Group{}, &config.Error{File: "URL", Message: fmt.Sprintf("no cluster of this file is called %q", name), Advice: "clusters: " + list(cfg.ClusterNames())}
	}
	if kind := cmpKind(own.Kind()); kind != (postgres.Engine{}).Kind() {
		return postgres.Group{}, &config.Error{File: "URL", Message: fmt.Sprintf("cluster %s is of kind %s, which has no log that can be followed", name, kind), Advice: "protect each of its servers by itself"}
	}
	return postgres.Group{Name: name, Servers: own.Servers()}, nil
}

// guide leads a source that is a cluster, in a daemon.
type guide struct {
	lead     postgres.Lead
	receiver string // a member of the cluster: its keepers say from whom it receives. "": the primary is followed as clients are led to it
	whole    *whole // of what a receiver has
	log      *slog.Logger
}

// newGuide is nil for a source that is none.
func newGuide(cfg *config.Config, source string) *guide {
	name := config.ClusterOf(cfg.Sources[source].URL)
	if name == "" {
		return nil
	}
	return &guide{receiver: cfg.Clusters[name].Receiver()}
}

// onto has a group follow where it is led.
func (g *guide) onto(group postgres.Group, safe func() history.Position) postgres.Group {
	group.Lead, group.Receiver, group.Safe = &g.lead, g.receiver, safe
	return group
}

// guideEvery is how often it is looked where clients are led: from this process's own memory.
const guideEvery = 50 * time.Millisecond

// run follows who is primary until ctx ends.
func (g *guide) run(ctx context.Context, primary func() string) {
	tick := time.NewTicker(guideEvery)
	defer tick.Stop()
	for {
		switch {
		case g.receiver == "":
			g.lead.Set(primary())
		default:
			g.whole.mend(g.lead.Caught, g.log)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// primaryOf is who takes the writes of a cluster, as this host knows it; "" while nobody does, or it is not known.
func (d *daemon) primaryOf(name string) string {
	part := d.clusters.find(name)
	if part == nil {
		return ""
	}
	c := part.built.Load()
	switch {
	case c == nil:
		return ""
	case c.managed == nil:
		return c.router.Status().Primary
	}
	s := c.managed.keeper.Status()
	if !s.Known || s.State.Phase != cluster.Serving && s.State.Phase != cluster.Draining {
		return ""
	}
	return s.State.Primary
}

// safe is the newest position that a repository has of the source.
func (p *protected) safe() history.Position {
	if p.archive == nil {
		return history.Position{}
	}
	return p.archive.Stored()
}
