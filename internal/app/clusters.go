package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/api"
	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/cluster"
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

// clusterPart is one cluster. What keeps promises on this host's disk is read when the one of before has ended, so it is built late.
type clusterPart struct {
	name  string
	build func() (*clustered, error)
	built atomic.Pointer[clustered] // nil before
	log   *slog.Logger
	stint
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

func (c *clusters) add(p *clusterPart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts = append(c.parts, p)
	slices.SortFunc(c.parts, func(a, b *clusterPart) int { return strings.Compare(a.name, b.name) })
	if c.group != nil {
		c.run(p)
	}
}

func (c *clusters) run(p *clusterPart) { p.begin(c.ctx, c.group, p.run) }

// open builds the cluster, if it is not built.
func (p *clusterPart) open() error {
	if p.built.Load() != nil {
		return nil
	}
	c, err := p.build()
	if err == nil {
		p.built.Store(c)
	}
	return err
}

// run runs the cluster until ctx ends. One that a reload brought, and that cannot be built now, is tried again: the one of before has ended.
func (p *clusterPart) run(ctx context.Context) error {
	for said := ""; ; {
		err := p.open()
		if err == nil {
			return p.built.Load().run(ctx)
		}
		if said != err.Error() {
			said = err.Error()
			p.log.Error("a cluster cannot be run; trying again", "cluster", p.name, "err", err)
		}
		if err := backoff.Sleep(ctx, findingsEvery); err != nil {
			return err
		}
	}
}

// remove ends a cluster's listeners, and waits for that.
func (c *clusters) remove(name string) {
	p := c.find(name)
	if p == nil {
		return
	}
	p.stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts = slices.DeleteFunc(c.parts, func(o *clusterPart) bool { return o == p })
}

// close closes the sockets of clusters that never ran.
func (c *clusters) close() {
	for _, p := range c.all() {
		if b := p.built.Load(); !p.began() && b != nil {
			b.unlisten()
		}
	}
}

// replace puts a reload's clusters in the place of those of before, and says what it did.
func (c *clusters) replace(cfg *config.Config, opened []*clusterPart) []string {
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
		word = fmt.Sprintf(word, o.name)
		if err := o.open(); err != nil {
			word += ", and cannot be run yet: " + err.Error() // it is tried again
		}
		c.add(o)
		words = append(words, word)
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

// openClusters are the clusters of the file that are not run so already, checked as far as that is possible while others run.
func (d *daemon) openClusters(h *Host, before *config.Config) ([]*clusterPart, error) {
	var opened []*clusterPart
	for _, name := range h.Config.ClusterNames() {
		if before != nil && sameCluster(before, h.Config, name) {
			continue
		}
		p := &clusterPart{name: name, stint: newStint(), log: h.Log, build: func() (*clustered, error) { return d.openCluster(h, name) }}
		own := h.Config.Clusters[name]
		if err := refused(name, own, cluster.Ask{Config: h.decided(name), Voters: h.voters()}); err != nil {
			return nil, err
		}
		if before == nil || !own.Managed() {
			if err := p.open(); err != nil {
				return nil, err
			}
		}
		opened = append(opened, p)
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

// findingsEvery is how often it is looked for what is wrong with clusters.
const findingsEvery = 2 * time.Second

// judgeClusters tells people what is wrong with clusters for as long as it lasts, until ctx ends.
func (d *daemon) judgeClusters(ctx context.Context) error {
	since := map[string]time.Time{}
	for {
		if err := backoff.Sleep(ctx, findingsEvery); err != nil {
			return err
		}
		now := d.host().Now()
		var told []notify.Notice
		still := map[string]time.Time{}
		for _, c := range d.clusters.shown() {
			for _, n := range clusterNotices(c) {
				at, lasts := since[n.Fingerprint]
				if !lasts {
					at = now
				}
				if still[n.Fingerprint] = at; now.Sub(at) >= settles[n.Objective] {
					n.Since = at
					told = append(told, n)
				}
			}
		}
		since = still
		d.notifier.Report("cluster", told)
	}
}

// settles says how long something must last until people are told: a failover is over sooner, and so is a restart.
var settles = map[string]time.Duration{"primary": 15 * time.Second, "member": time.Minute, "sync": 30 * time.Second, "lag": time.Minute, "heir": time.Minute, "disk": 15 * time.Second}

// clusterNotices are what is wrong with a cluster now.
func clusterNotices(c api.Cluster) []notify.Notice {
	var all []notify.Notice
	add := func(severity notify.Severity, objective, member, reason, do string) {
		n := notify.Notice{Fingerprint: objective + "/" + c.Name, Objective: objective, Severity: severity, Reason: "cluster " + c.Name + ": " + reason, Do: do}
		if member != "" {
			n.Fingerprint += "/" + member
		}
		all = append(all, n)
	}
	status := "backstay cluster status " + c.Name + " says why, and what would be done next"
	if c.State == "closed" {
		reason := "clients are led to no primary: " + c.Reason
		if c.Next != "" {
			reason += "; " + c.Next
		}
		do := status
		if c.Phase == string(cluster.Fencing) || c.Phase == string(cluster.Serving) {
			do += "; bring back who is missing, or, if that can't be, backstay failover " + c.Name + " --lose goes on with who answers, and may lose what was acknowledged"
		}
		add(notify.Critical, "primary", "", reason, do)
	}
	for _, m := range c.Members {
		if m.Role == "unknown" || m.Role == "stopped" {
			reason := m.Name + " is " + m.Role
			if m.Error != "" {
				reason += ": " + m.Error
			}
			add(notify.Warning, "member", m.Name, reason, "see that its server and its agent run; an agent brings it back by itself")
		}
		if m.Full {
			add(notify.Critical, "disk", m.Name, m.Name+": "+m.Error, "make room on the disk of its data and its log: a full one ends its server, and slots of those that are gone hold log there")
		}
	}
	if c.Hindrance != "" && !c.Degraded { // which is told by itself
		add(notify.Warning, "heir", "", "if "+c.Primary+" were lost now, nobody could take over: "+c.Hindrance, "bring the missing members back; "+status)
	}
	if c.Degraded {
		add(notify.Critical, "sync", "", "commits are acknowledged by fewer members than was promised, for want of them: the loss of the primary would lose some", "bring the missing members back")
	}
	return all
}

// shown are the clusters as they do now.
func (c *clusters) shown() []api.Cluster {
	var all []api.Cluster
	for _, p := range c.all() {
		if b := p.built.Load(); b != nil {
			all = append(all, b.status())
		} else {
			all = append(all, api.Cluster{Name: p.name, Running: true, State: "closed", Reason: "it cannot be run here; the log says why", Members: []api.ClusterMember{}})
		}
	}
	return all
}
