package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/backstaydb/backstay/internal/audit"
	"github.com/backstaydb/backstay/internal/config"
	"github.com/backstaydb/backstay/internal/notify"
	"github.com/backstaydb/backstay/internal/notify/ping"
	"github.com/backstaydb/backstay/internal/watch"
)

// reloads reads backstay.yaml anew whenever it is asked to.
func (d *daemon) reloads(ctx context.Context, asked <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-asked:
			d.reload(ctx)
		}
	}
}

// reload puts the file as it lies there in force, all of it or nothing. A file that cannot be kept here changes nothing, and status,
// log and audit log say why.
func (d *daemon) reload(ctx context.Context) {
	d.tell(d.manager.Reloading)
	defer d.tell(d.manager.Ready)
	e := audit.Entry{What: audit.Settings, Why: "the daemon was told to read backstay.yaml anew", Outcome: audit.OK}
	next, err := d.prepare(ctx)
	var changed string
	if err == nil {
		changed, err = d.follow(ctx, next)
		e.Why += ": " + changed
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		e.Outcome, e.Error = audit.Refused, err.Error()
		said := []any{"err", err}
		if hint := hintOf(err); hint != "" {
			said = append(said, "hint", hint)
		}
		d.host().Log.Error("backstay.yaml is not in force; the one of before is", said...)
	} else {
		d.host().Log.Info("backstay.yaml is in force", "changed", changed)
	}
	d.mu.Lock()
	d.refused = err
	d.mu.Unlock()
	if err := d.record(ctx, e); err != nil {
		d.host().Log.Error("the audit log takes nothing", "err", err)
	}
}

// prepared is all that another file needs, opened, with nothing of it in force.
type prepared struct {
	host      *Host
	sources   []watch.Source
	opened    []*protected // those that are new, and those to be captured in another way
	removed   []string
	clusters  []*clusterPart // those that are new, and those to be run in another way
	receivers []notify.Receiver
	pings     []*ping.Pinger
}

// prepare reads the file, and opens what it asks for and is not open.
func (d *daemon) prepare(ctx context.Context) (*prepared, error) {
	cfg, err := config.Load(d.host().Config.Path)
	if err != nil {
		return nil, err
	}
	if len(cfg.Sources) == 0 && len(cfg.Clusters) == 0 && len(cfg.Elsewhere) == 0 {
		return nil, errNothing
	}
	host := *d.host()
	host.Config = cfg
	p := &prepared{host: d.captures(&host)}
	cfg = p.host.Config
	if err := p.host.CheckConfig(ctx); err != nil {
		return nil, err
	}
	if p.sources, err = p.host.watched(d.only); err != nil {
		return nil, err
	}
	if p.receivers, p.pings, err = p.host.receivers(ctx, d.well); err != nil {
		return nil, err
	}
	if err := d.sameHouse(cfg); err != nil {
		return nil, err
	}
	if p.clusters, err = d.openClusters(p.host, d.host().Config); err != nil {
		return nil, err
	}
	for _, part := range d.fleet.all() {
		if _, stays := cfg.Sources[part.name]; !stays {
			p.removed = append(p.removed, part.name)
		}
	}
	for _, name := range cfg.SourceNames() {
		if d.fleet.find(name) != nil && captured(d.host().Config, name).equal(captured(cfg, name)) {
			continue
		}
		source, err := d.openSource(ctx, p.host, name)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.opened = append(p.opened, source)
	}
	return p, nil
}

// close lets go of what was opened and is not taken.
func (p *prepared) close() error {
	var errs []error
	for _, source := range p.opened {
		errs = append(errs, source.writers.close())
	}
	return errors.Join(errs...)
}

// capture is what of a file decides how a source is captured. A change of anything else leaves its capture alone.
type capture struct {
	url          string
	servers      string // of the cluster that it is
	ack          config.Ack
	copies       int
	sentinel     bool
	limits       [3]config.Size
	repositories []string
	stores       []config.Repository
}

func captured(c *config.Config, name string) capture {
	s := c.Sources[name]
	own := c.Clusters[config.ClusterOf(s.URL)]
	out := capture{url: s.URL, servers: fmt.Sprint(own.Servers(), own.Receiver()), ack: s.Ack, copies: s.Copies(), sentinel: s.Sentinels(), limits: [3]config.Size{s.SpoolLimit, s.HeldLimit, s.SegmentSize}, repositories: s.Everywhere()}
	for _, name := range s.Everywhere() {
		r := c.Repositories[name]
		r.Limit = config.Limit{} // it changes on the way
		out.stores = append(out.stores, r)
	}
	return out
}

func (c capture) equal(other capture) bool {
	return c.url == other.url && c.servers == other.servers && c.ack == other.ack && c.copies == other.copies && c.sentinel == other.sentinel && c.limits == other.limits &&
		slices.Equal(c.repositories, other.repositories) && slices.Equal(c.stores, other.stores)
}

// follow puts what was prepared in force, and says what that changes.
func (d *daemon) follow(ctx context.Context, p *prepared) (changed string, err error) {
	before := d.host()
	d.now.Store(p.host)
	p.host.bounded()
	if d.house != nil {
		d.house.host.Store(p.host)
	}
	if err := d.watch.Replace(ctx, p.sources); err != nil {
		d.now.Store(before)
		before.bounded()
		return "", errors.Join(err, p.close())
	}
	if err := d.notifier.Replace(p.receivers); err != nil { // they differ by their place in the file, so it cannot
		p.host.Log.Error("the receivers of before are told", "err", err)
	}
	d.others.set(p.pings)
	for _, source := range p.opened {
		d.listen(source)
	}
	words := append(d.fleet.replace(p.removed, p.opened), d.clusters.replace(p.host.Config, p.clusters)...)
	for _, part := range d.fleet.all() {
		s := p.host.Config.Sources[part.name]
		part.belong(s.Class, s.Owner)
	}
	if len(words) == 0 {
		return "the sources are captured as before", nil
	}
	return strings.Join(words, ", "), nil
}

// replace ends what is removed, begins what is new, and has sources that are captured in another way go on in that way. It says what
// it did.
func (f *fleet) replace(removed []string, opened []*protected) []string {
	var words []string
	for _, name := range removed {
		f.remove(name)
		words = append(words, fmt.Sprintf("source %s is removed", name))
	}
	for _, p := range opened {
		word := "source %s is added"
		if f.find(p.name) != nil {
			f.remove(p.name)
			word = "source %s is captured in another way"
		}
		f.add(p)
		words = append(words, fmt.Sprintf(word, p.name))
	}
	return words
}
