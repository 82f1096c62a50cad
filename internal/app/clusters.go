package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/cluster/router"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/notify"
)

// clusters are the clusters of a daemon, in the order of their names. Each runs in the daemon's run group and can be ended by itself.
type clusters struct {
	mu    sync.Mutex
	parts []*clusterPart
	group *errgroup.Group // nil before start
	ctx   context.Context // of the group; each part's ends with it
}

type clusterPart struct {
	*clustered
	end   context.CancelFunc // nil before it runs
	ended chan struct{}
}

func (c *clusters) all() []*clusterPart {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.parts)
}

func (c *clusters) find(name string) *clusterPart {
	for _, p := range c.all() {
		if p.name == name {
			return p
		}
	}
	return nil
}

// start has all clusters run in g, and those that are added later.
func (c *clusters) start(ctx context.Context, g *errgroup.Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.group, c.ctx = g, ctx
	for _, p := range c.parts {
		c.run(p)
	}
}

func (c *clusters) add(opened *clustered) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &clusterPart{clustered: opened, ended: make(chan struct{})}
	c.parts = append(c.parts, p)
	slices.SortFunc(c.parts, func(a, b *clusterPart) int { return compareNames(a.name, b.name) })
	if c.group != nil {
		c.run(p)
	}
}

func compareNames(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (c *clusters) run(p *clusterPart) {
	ctx, end := context.WithCancel(c.ctx)
	p.end = end
	c.group.Go(func() error {
		defer close(p.ended)
		defer end()
		err := p.clustered.run(ctx)
		if errors.Is(err, context.Canceled) && c.ctx.Err() == nil {
			return nil // it was removed
		}
		return err
	})
}

// remove ends a cluster's listeners, and waits for that.
func (c *clusters) remove(name string) {
	p := c.find(name)
	if p == nil {
		return
	}
	p.end()
	<-p.ended
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts = slices.DeleteFunc(c.parts, func(o *clusterPart) bool { return o == p })
}

// close closes the sockets of clusters that never ran.
func (c *clusters) close() {
	for _, p := range c.all() {
		if p.end == nil {
			p.unlisten()
		}
	}
}

// replace puts a reload's clusters in the place of those of before, and says what it did.
func (c *clusters) replace(cfg *config.Config, opened []*clustered) []string {
	var words []string
	for _, p := range c.all() {
		if _, stays := cfg.Clusters[p.name]; !stays {
			c.remove(p.name)
			words = append(words, fmt.Sprintf("cluster %s is removed", p.name))
		}
	}
	for _, o := range opened {
		word := "cluster %s is added"
		if c.find(o.name) != nil {
			c.remove(o.name)
			word = "cluster %s is run in another way"
		}
		c.add(o)
		words = append(words, fmt.Sprintf(word, o.name))
	}
	return words
}

// clusterText is all of a file that decides how a cluster is run.
func clusterText(c *config.Config, name string) []byte {
	own, ok := c.Clusters[name]
	if !ok {
		return nil
	}
	b, err := json.Marshal(struct {
		Cluster      config.Cluster
		Order        []string
		Coordination *config.Coordination
		Hosts        map[string]config.Machine
	}{own, own.Order, c.Coordination, c.Hosts})
	if err != nil {
		return []byte(err.Error()) // not reached: the types are fixed
	}
	return b
}

// openClusters opens all clusters of the file that run on this host and are not run so already.
func (d *daemon) openClusters(h *Host, before *config.Config) ([]*clustered, error) {
	var opened []*clustered
	for _, name := range h.Config.ClusterNames() {
		if before != nil && sameCluster(before, h.Config, name) {
			continue
		}
		c, err := d.openCluster(h, name)
		if err != nil {
			return nil, err
		}
		opened = append(opened, c)
	}
	return opened, nil
}

// changed tells that clients are led to another member.
func (d *daemon) changed(name string, c router.Change) {
	now := d.host().Now()
	reason := fmt.Sprintf("clients are led to %s at epoch %d: %s", c.To, c.Epoch, c.Reason)
	severity := notify.Warning
	switch {
	case c.To == "":
		reason, severity = "clients are led nowhere: "+c.Reason, notify.Critical
	case c.From == "" && c.Epoch <= 1:
		severity = notify.Info // it begins
	}
	d.host().Log.Info(reason, "cluster", name)
	e := audit.Entry{Time: now, What: audit.Failover, Source: name, Why: reason, Outcome: audit.OK}
	if err := d.record(context.Background(), e); err != nil {
		d.host().Log.Error("the audit log takes nothing", "err", err)
	}
	n := notify.Notice{Fingerprint: "failover/" + name, Objective: "failover", Severity: severity, Since: now, Reason: "cluster " + name + ": " + reason,
		Do: "backstay cluster status " + name + " shows the members"}
	if err := d.notifier.Tell(n); err != nil {
		d.host().Log.Error("what happened is told, and is not on disk", "cluster", name, "err", err)
	}
}

// shown are the clusters as they do now.
func (c *clusters) shown() []api.Cluster {
	var all []api.Cluster
	for _, p := range c.all() {
		all = append(all, p.status())
	}
	return all
}
