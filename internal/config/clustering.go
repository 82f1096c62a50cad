package config

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// clusterDefaults fills in what follows from the rest of a cluster.
func (p *parser) clusterDefaults(c *Config) {
	for name, cl := range c.Clusters {
		_, n := p.find("clusters", name, "members")
		for _, kv := range pairs(n) {
			cl.Order = append(cl.Order, kv.Key.GetToken().Value)
		}
		if cl.Failover.Mode == "" {
			cl.Failover.Mode = Automatic
			if kind := cl.Kind(); kind != "postgres" && kind != "postgresql" {
				cl.Failover.Mode = External
			}
		}
		c.Clusters[name] = cl
	}
}

// clusters checks what the types cannot say of clusters, hosts and coordination.
func (p *parser) clusters(c *Config) error {
	taken := map[string]string{} // addresses to listen on, and by whom
	owners := map[string]string{}
	for _, name := range c.ClusterNames() {
		if err := p.name("clusters", name); err != nil {
			return err
		}
		for _, check := range []func(*Config, string) error{p.members, p.failover} {
			if err := check(c, name); err != nil {
				return err
			}
		}
		if err := p.listen(c, name, taken); err != nil {
			return err
		}
		for _, member := range c.Clusters[name].Order {
			url := c.Clusters[name].Members[member].URL
			if other, ok := owners[url]; ok && url != "" {
				return p.at(p.token("clusters", name, "members", member), fmt.Sprintf("member %s of cluster %s is the server of %s", member, name, other), "a server belongs to one cluster, once")
			}
			owners[url] = fmt.Sprintf("member %s of cluster %s", member, name)
		}
	}
	return p.coordination(c)
}

// token is where a value stands, or its key.
func (p *parser) token(path ...string) *token.Token {
	tok, n := p.find(path...)
	if _, scalar := n.(ast.ScalarNode); scalar {
		return n.GetToken()
	}
	return tok
}

func (p *parser) members(c *Config, name string) error {
	cl := c.Clusters[name]
	if len(cl.Order) == 0 {
		return p.at(p.token("clusters", name), fmt.Sprintf("cluster %s has no members", name), "add members: { db1: { url: \"postgres://backstay@10.0.0.2/\" }, db2: … }")
	}
	for _, member := range cl.Order {
		m := cl.Members[member]
		at := p.token("clusters", name, "members", member)
		scheme, _, _ := strings.Cut(m.URL, ":")
		switch {
		case !ValidName(member):
			return p.at(at, fmt.Sprintf("name %q", member), "names hold letters, digits, and - _ = . inside, at most 64 of them")
		case m.Receiver:
			if err := p.receives(c, name, member); err != nil {
				return err
			}
			continue
		case m.URL == "":
			return p.at(at, fmt.Sprintf("member %s of cluster %s has no url", member, name), `add url: "postgres://backstay@10.0.0.2/"`)
		case scheme != cl.Kind():
			return p.at(at, fmt.Sprintf("member %s of cluster %s is of another kind (%s) than the others (%s)", member, name, scheme, cl.Kind()), "a cluster has servers of one kind")
		case m.Host != "" && m.Data == "" && cl.Managed():
			return p.at(at, fmt.Sprintf("member %s of cluster %s has an agent on %s, which does not know where the data lies", member, name, m.Host), "add data: DIRECTORY")
		case m.Guard && m.Host == "":
			return p.at(at, fmt.Sprintf("member %s of cluster %s has a guard and no host", member, name), "a guard runs beside the agent: add host: NAME")
		case m.Watchdog != "" && !m.Guard:
			return p.at(at, fmt.Sprintf("member %s of cluster %s has a watchdog and no guard", member, name), "the guard writes to it: add guard: true")
		}
		if err := p.noSecret(m.URL, "clusters", name, "members", member, "url"); err != nil {
			return err
		}
	}
	return nil
}

// receives checks the member that is Backstay's own receiver.
func (p *parser) receives(c *Config, name, member string) error {
	cl, m := c.Clusters[name], c.Clusters[name].Members[member]
	at := p.token("clusters", name, "members", member)
	switch {
	case !cl.Managed():
		return p.at(at, fmt.Sprintf("member %s of cluster %s is a receiver, and somebody else says whom commits wait for", member, name), "leave it out; the source is followed all the same")
	case m.Host == "":
		return p.at(at, fmt.Sprintf("receiver %s of cluster %s has no host", member, name), "add host: NAME, best one that has none of the servers")
	case m.URL != "" || m.Data != "" || m.Guard || m.Watchdog != "":
		return p.at(at, fmt.Sprintf("receiver %s of cluster %s has keys of a server", member, name), "it is { receiver: true, host: "+m.Host+" } and no more")
	case cl.Receiver() != member:
		return p.at(at, fmt.Sprintf("cluster %s has receivers %s and %s", name, cl.Receiver(), member), "one source captures it, so there is one")
	case cl.bare() != "":
		return p.at(at, fmt.Sprintf("cluster %s has a receiver, and member %s no agent that could fetch from it what no server has any more", name, cl.bare()), "add host: and data: to "+cl.bare()+", or leave out the receiver")
	case c.SourceOf(name) == "":
		return p.at(at, fmt.Sprintf("cluster %s has a receiver and no source", name), "add sources: { "+name+": { url: \"cluster:"+name+"\", repositories: [NAME] } }")
	}
	return nil
}

func (p *parser) failover(c *Config, name string) error {
	cl := c.Clusters[name]
	f, at := cl.Failover, p.token("clusters", name, "failover")
	switch modes := []Mode{Automatic, Manual, External}; {
	case !slices.Contains(modes, f.Mode):
		return p.at(at, fmt.Sprintf("failover mode %q of cluster %s", f.Mode, name), suggest(string(f.Mode), []string{string(Automatic), string(Manual), string(External)}))
	case f.Mode != External && !isPostgres(cl.Kind()):
		return p.at(at, fmt.Sprintf("cluster %s is of kind %s, whose members Backstay does not promote", name, cl.Kind()), "say failover: external: clients are led to the member that is primary")
	case f.Mode == External && f.Sync != nil:
		return p.at(at, fmt.Sprintf("cluster %s is managed by somebody else, who also says how many members must have a commit", name), "leave out sync")
	case f.Sync != nil && *f.Sync < 0:
		return p.at(at, fmt.Sprintf("sync of cluster %s is negative", name), "give a number from 0 on, or leave it out")
	}
	return nil
}

func isPostgres(kind string) bool { return kind == "postgres" || kind == "postgresql" }

// listen checks addresses; taken are those of clusters before.
func (p *parser) listen(c *Config, name string, taken map[string]string) error {
	l := c.Clusters[name].Listen
	for _, e := range []struct{ key, address string }{{"rw", l.RW}, {"ro", l.RO}, {"health", l.Health}} {
		if e.address == "" {
			continue
		}
		at := p.token("clusters", name, "listen", e.key)
		if _, port, err := net.SplitHostPort(e.address); err != nil || port == "" {
			return p.at(at, fmt.Sprintf("%s of cluster %s is no address and port", e.key, name), "as in 127.0.0.1:6432")
		}
		if other, ok := taken[e.address]; ok {
			return p.at(at, fmt.Sprintf("%s of cluster %s listens where %s does", e.key, name, other), "give each a port of its own")
		}
		taken[e.address] = fmt.Sprintf("%s of cluster %s", e.key, name)
	}
	if l.TLS != nil && (l.TLS.Cert == "" || l.TLS.Key == "") {
		return p.at(p.token("clusters", name, "listen", "tls"), fmt.Sprintf("tls of cluster %s lacks cert or key", name), "tls: { cert: FILE, key: FILE }")
	}
	if l.TLS != nil && l.Pass {
		return p.at(p.token("clusters", name, "listen", "pass_tls"), fmt.Sprintf("cluster %s both ends encryption and passes it on", name), "leave out tls or pass_tls")
	}
	return nil
}

func (p *parser) coordination(c *Config) error {
	for _, name := range sorted(c.Hosts) {
		if err := p.name("hosts", name); err != nil {
			return err
		}
		if c.Hosts[name].Address == "" {
			return p.at(p.token("hosts", name), fmt.Sprintf("host %s has no address", name), "add address: 10.0.0.2")
		}
	}
	co := c.Coordination
	switch {
	case co == nil:
		return nil
	case co.Embedded != nil && len(co.Etcd) > 0:
		return p.at(p.token("coordination"), "coordination is both embedded and an etcd of its own", "leave out one of them")
	case co.Embedded == nil && len(co.Etcd) == 0:
		return p.at(p.token("coordination"), "coordination names neither", "embedded: { peers: [ha1, ha2, ha3] }, or etcd: [URL, …]; or leave it out: then one host decides")
	}
	if co.Embedded != nil {
		peers := co.Embedded.Peers
		if n := len(peers); n%2 == 0 {
			return p.at(p.token("coordination", "embedded", "peers"), fmt.Sprintf("%d voters: an even number tolerates no more failures than one less, and can split in halves", n),
				"add a voter on a third host, it needs no database, or take one away")
		}
		seen := map[string]bool{}
		for _, peer := range peers {
			if seen[peer] || !ValidName(peer) {
				return p.at(p.token("coordination", "embedded", "peers"), fmt.Sprintf("voter %q is there twice, or is no name", peer), "give each host once")
			}
			seen[peer] = true
		}
	}
	for _, u := range co.Etcd {
		if err := p.noSecret(u, "coordination", "etcd"); err != nil {
			return err
		}
	}
	return nil
}
