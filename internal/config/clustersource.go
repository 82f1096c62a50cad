package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// clusterScheme begins the URL of a source that is a cluster of the same file.
const clusterScheme = "cluster:"

// ClusterOf is the name of the cluster in a source's URL, "" where the source is none.
func ClusterOf(url string) string {
	name, ok := strings.CutPrefix(url, clusterScheme)
	if !ok {
		return ""
	}
	return name
}

// Receiver is the member of a cluster that is Backstay's own receiver, "" if it has none.
func (c Cluster) Receiver() string {
	for _, name := range c.Order {
		if c.Members[name].Receiver {
			return name
		}
	}
	return ""
}

// bare is a server without an agent, "" if all have one.
func (c Cluster) bare() string {
	for _, name := range c.Order {
		if m := c.Members[name]; !m.Receiver && m.Host == "" {
			return name
		}
	}
	return ""
}

// Servers are the URLs of the members that are servers.
func (c Cluster) Servers() map[string]string {
	all := map[string]string{}
	for name, m := range c.Members {
		if !m.Receiver {
			all[name] = m.URL
		}
	}
	return all
}

// SourceHost is the host that captures a source, "" if each host does that runs the file.
func (c *Config) SourceHost(source string) string {
	s := c.Sources[source]
	if s.Host != "" {
		return s.Host
	}
	own := c.Clusters[ClusterOf(s.URL)]
	return own.Members[own.Receiver()].Host
}

// SourceOf is the source that is a cluster of this file, "" if none is.
func (c *Config) SourceOf(cluster string) string {
	for _, name := range c.SourceNames() {
		if ClusterOf(c.Sources[name].URL) == cluster {
			return name
		}
	}
	return ""
}

// On is what a host has to capture of the file: all of it but the sources of other hosts, which are left in Elsewhere.
func (c *Config) On(host string) *Config {
	out := *c
	out.Sources, out.Elsewhere = maps.Clone(c.Sources), maps.Clone(c.Elsewhere)
	for name, s := range c.Sources {
		if at := c.SourceHost(name); at == "" || at == host {
			continue
		}
		if out.Elsewhere == nil {
			out.Elsewhere = map[string]Source{}
		}
		out.Elsewhere[name] = s
		delete(out.Sources, name)
	}
	return &out
}

// All is the file as it was written, whatever this host captures of it.
func (c *Config) All() *Config {
	if len(c.Elsewhere) == 0 {
		return c
	}
	out := *c
	out.Sources, out.Elsewhere = maps.Clone(c.Sources), nil
	if out.Sources == nil {
		out.Sources = map[string]Source{}
	}
	maps.Copy(out.Sources, c.Elsewhere)
	return &out
}

// hostsOf are the hosts that run the file because of its clusters.
func (c *Config) hostsOf() []string {
	all := map[string]bool{}
	for name := range c.Hosts {
		all[name] = true
	}
	for _, own := range c.Clusters {
		for _, m := range own.Members {
			all[m.Host] = true
		}
		for _, name := range own.Listen.Hosts {
			all[name] = true
		}
	}
	if co := c.Coordination; co != nil && co.Embedded != nil {
		for _, name := range co.Embedded.Peers {
			all[name] = true
		}
	}
	delete(all, "")
	return slices.Sorted(maps.Keys(all))
}

// clusterSources checks sources that are clusters.
func (p *parser) clusterSources(c *Config) error {
	taken := map[string]string{}
	for _, name := range c.SourceNames() {
		s := c.Sources[name]
		if host := s.Host; host != "" && !ValidName(host) {
			return p.at(p.token("sources", name, "host"), fmt.Sprintf("host %q of source %s", host, name), "give the name by which backstay run --host calls it")
		}
		if !strings.HasPrefix(s.URL, clusterScheme) {
			continue
		}
		at, of := p.token("sources", name, "url"), ClusterOf(s.URL)
		own, known := c.Clusters[of]
		hosts := c.hostsOf()
		switch {
		case !known:
			return p.at(at, fmt.Sprintf("source %s is cluster %q, which is not in this file", name, of), suggest(of, c.ClusterNames()))
		case !isPostgres(own.Kind()):
			return p.at(at, fmt.Sprintf("source %s is cluster %s, whose servers (%s) have no log that Backstay can follow", name, of, own.Kind()), "protect each of its servers by itself")
		case taken[of] != "":
			return p.at(at, fmt.Sprintf("source %s is cluster %s, and so is source %s", name, of, taken[of]), "one source holds all of it; name several repositories for more copies")
		case len(hosts) > 1 && c.SourceHost(name) == "":
			return p.at(at, fmt.Sprintf("source %s does not say which host captures it, and %d run this file", name, len(hosts)), "add host: "+hosts[len(hosts)-1]+": one captures it, best one that has none of the servers")
		case own.Receiver() != "" && c.SourceHost(name) != own.Members[own.Receiver()].Host:
			return p.at(at, fmt.Sprintf("source %s is captured on %s, and the receiver of cluster %s is on %s", name, s.Host, of, own.Members[own.Receiver()].Host), "leave out host: what is received is what is captured")
		}
		taken[of] = name
	}
	return nil
}
