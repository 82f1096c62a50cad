package config

import (
	"cmp"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

// Cluster is a group of servers of which one is the primary, and the addresses at which applications reach it.
type Cluster struct {
	Members  map[string]Member `yaml:"members" json:"members" doc:"the servers, by name; the order of the file is the order of preference where nothing else decides" required:"true"`
	Listen   Listen            `yaml:"listen,omitempty" json:"listen,omitzero" doc:"where applications reach the cluster; on every host that runs this file, unless it says on which"`
	Failover Failover          `yaml:"failover,omitempty" json:"failover,omitzero" doc:"who decides which member is primary: external (somebody else; clients are only led to it), or a group of keys"`

	Order []string `yaml:"-" json:"-"` // of the members in the file
}

// Member is one server of a cluster.
type Member struct {
	URL        string   `yaml:"url,omitempty" json:"url,omitempty" doc:"how the server is reached: postgres://backstay@10.0.0.2:5432/, mysql://…, redis://…, or tcp://HOST:PORT for anything else, with ?send=PING%0D%0A&expect=+PONG where it is to be asked something"`
	Host       string   `yaml:"host,omitempty" json:"host,omitempty" doc:"name of the host on which the server runs and an agent of Backstay acts: the one that says run --host of it. Without an agent nobody can stop the server, or bring it back as a replica"`
	Priority   int      `yaml:"priority,omitempty" json:"priority,omitempty" doc:"the higher is taken where nothing else decides"`
	NoFailover bool     `yaml:"nofailover,omitempty" json:"nofailover,omitempty" doc:"it never becomes primary by itself"`
	Receiver   bool     `yaml:"receiver,omitempty" json:"receiver,omitempty" doc:"it is no server but Backstay's own receiver of the log on its host, which captures the source that is this cluster: a commit may wait for it as for a standby, and it never becomes primary"`
	Guard      bool     `yaml:"guard,omitempty" json:"guard,omitempty" doc:"a process beside the agent stops the server by its deadline even where the agent is dead or frozen"`
	Local      string   `yaml:"local,omitempty" json:"local,omitempty" doc:"how a superuser reaches the server on its host, for the agent; postgres://postgres@/postgres?host=/var/run/postgresql with the port of url if not given"`
	Watchdog   string   `yaml:"watchdog,omitempty" json:"watchdog,omitempty" doc:"a device that restarts the host when the guard cannot write to it in time, as in /dev/watchdog: the one fence for a host that hangs as a whole. The user who runs Backstay must be allowed to write to it"`
	Data       string   `yaml:"data,omitempty" json:"data,omitempty" doc:"data directory on its host, for the agent"`
	Programs   string   `yaml:"programs,omitempty" json:"programs,omitempty" doc:"folder of the server's programs (pg_ctl, postgres, pg_rewind) on its host; found if not given"`
	Arguments  []string `yaml:"arguments,omitempty" json:"arguments,omitempty" doc:"of the server's program beside -D, as in [-c, config_file=/etc/postgresql/15/main/postgresql.conf]; those that it was last started with if not given"`
}

// Listen is where applications reach a cluster.
type Listen struct {
	RW     string   `yaml:"rw,omitempty" json:"rw,omitempty" doc:"address and port that lead to the primary, as in 127.0.0.1:6432"`
	RO     string   `yaml:"ro,omitempty" json:"ro,omitempty" doc:"address and port that lead to the replicas in turn, and to the primary where none qualifies"`
	Health string   `yaml:"health,omitempty" json:"health,omitempty" doc:"address and port of an HTTP answer for load balancers and applications: /rw and /ro are 200 while the listener leads somewhere, /primary names the primary"`
	MaxLag Span     `yaml:"max_replica_lag,omitempty" json:"max_replica_lag,omitempty" doc:"replicas further behind are not read from; 2s if not given"`
	Wait   Span     `yaml:"wait,omitempty" json:"wait,omitempty" doc:"how long a client may wait for a primary; 20s if not given"`
	Idle   Span     `yaml:"ask_idle,omitempty" json:"ask_idle,omitempty" doc:"a session that was idle for so long is asked what it holds, so that it outlives the sudden death of the primary; never if not given"`
	Max    int      `yaml:"connections,omitempty" json:"connections,omitempty" doc:"how many clients at a time; 10000 if not given"`
	Header bool     `yaml:"proxy_protocol,omitempty" json:"proxy_protocol,omitempty" doc:"each connection begins with a header of the PROXY protocol, version 2"`
	TLS    *TLS     `yaml:"tls,omitempty" json:"tls,omitempty" doc:"clients may encrypt up to here"`
	Pass   bool     `yaml:"pass_tls,omitempty" json:"pass_tls,omitempty" doc:"encrypted connections are carried to the server as they are; such sessions are never moved"`
	Hosts  []string `yaml:"hosts,omitempty" json:"hosts,omitempty" doc:"names of the hosts that listen; all if not given"`
}

// TLS is what a listener shows to clients that encrypt.
type TLS struct {
	Cert string `yaml:"cert" json:"cert" doc:"file with the certificate and its chain, PEM" required:"true"`
	Key  string `yaml:"key" json:"key" doc:"file with its private key, PEM" required:"true"`
}

// Mode says who decides which member is primary.
type Mode string

// The modes.
const (
	Automatic Mode = "automatic" // Backstay does, by itself
	Manual    Mode = "manual"    // a person asks, Backstay does it
	External  Mode = "external"  // somebody else; clients are only led to who it is
)

// Failover says who decides which member is primary, and how. In the file it is a mode alone (failover: external) or a group of keys.
type Failover struct {
	Mode     Mode `yaml:"mode,omitempty" json:"mode,omitempty" doc:"automatic, manual (a person asks for it), or external (Patroni, repmgr, an operator: clients are only led to the primary); automatic for PostgreSQL, external for all else if not given" enum:"automatic,manual,external"`
	After    Span `yaml:"after,omitempty" json:"after,omitempty" doc:"a primary that is silent on every path for so long counts as lost, as in 1s (the default)"`
	Lease    Span `yaml:"lease,omitempty" json:"lease,omitempty" doc:"how long a primary may go on without a word of the coordination; 1500ms if not given"`
	MaxLoss  Size `yaml:"max_loss,omitempty" json:"max_loss,omitempty" doc:"how much log a failover may lose, as in 1MiB; 0B (the default) means synchronous replication, which Backstay then manages"`
	Sync     *int `yaml:"sync,omitempty" json:"sync,omitempty" doc:"how many other members must have a commit before it is acknowledged; 1 with max_loss 0B, else 0"`
	Degraded bool `yaml:"degraded,omitempty" json:"degraded,omitempty" doc:"go on without them, alarmed, when too few are left"`
	Unfenced bool `yaml:"unfenced,omitempty" json:"unfenced,omitempty" doc:"fail over even where nobody can stop an old primary that is cut off: clients that bypass the listeners may then go on writing to it, and that is lost"`
}

// UnmarshalYAML reads both forms.
func (f *Failover) UnmarshalYAML(unmarshal func(any) error) error {
	var mode Mode
	if err := unmarshal(&mode); err == nil {
		*f = Failover{Mode: mode}
		return nil
	}
	type group Failover
	return unmarshal((*group)(f))
}

// Synchronous is how many other members must have a commit.
func (f Failover) Synchronous() int {
	switch {
	case f.Sync != nil:
		return *f.Sync
	case f.MaxLoss == 0 && f.Mode != External:
		return 1
	default:
		return 0
	}
}

// Kind is the kind of the cluster's servers, by the scheme of their URLs.
func (c Cluster) Kind() string {
	for _, name := range c.Order {
		if scheme, _, ok := strings.Cut(c.Members[name].URL, ":"); ok {
			return scheme
		}
	}
	return ""
}

// Managed reports whether Backstay decides who is primary.
func (c Cluster) Managed() bool { return c.Failover.Mode != External }

// Listens reports whether the listeners are on a host.
func (l Listen) Listens(host string) bool {
	for _, h := range l.Hosts {
		if h == host {
			return true
		}
	}
	return len(l.Hosts) == 0
}

// Any reports whether there is any listener. One that only says where the primary is needs a route as the others do.
func (l Listen) Any() bool { return l.RW != "" || l.RO != "" || l.Health != "" }

// Coordination is what the hosts of a cluster keep its state in.
type Coordination struct {
	Embedded *Embedded `yaml:"embedded,omitempty" json:"embedded,omitempty" doc:"voters inside Backstay's own processes"`
	Etcd     []string  `yaml:"etcd,omitempty" json:"etcd,omitempty" doc:"URLs of an etcd that is there already, as in https://10.0.0.9:2379"`
	CA       string    `yaml:"ca,omitempty" json:"ca,omitempty" doc:"file with the certificates that sign those of etcd, PEM"`
	Cert     string    `yaml:"cert,omitempty" json:"cert,omitempty" doc:"file with the certificate that is shown to etcd, PEM"`
	Key      string    `yaml:"key,omitempty" json:"key,omitempty" doc:"file with its private key, PEM"`
}

// Embedded are voters inside Backstay's own processes.
type Embedded struct {
	Peers []string `yaml:"peers" json:"peers" doc:"names of the hosts that vote: three, or another odd number" required:"true"`
}

// Machine is a host that runs this file.
type Machine struct {
	Address string `yaml:"address" json:"address" doc:"where the other hosts reach it, as in 10.0.0.2 or 10.0.0.2:7430" required:"true"`
}

// PeerPort is where Backstay's processes ask each other, unless hosts says otherwise; the two ports behind it are the voters'.
const PeerPort = 7430

// PeerAddress is where a host's process is reached by others, as host:port.
func (c *Config) PeerAddress(host string) string {
	address := cmp.Or(c.Hosts[host].Address, host)
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), strconv.Itoa(PeerPort))
}

// Decided is the cluster as package cluster decides about it. address gives a member's host:port from its URL.
func (c *Config) Decided(name string, address func(url string) string) cluster.Config {
	own := c.Clusters[name]
	f := own.Failover
	out := cluster.Config{Cluster: name, After: time.Duration(f.After), Lease: time.Duration(f.Lease), Manual: f.Mode == Manual,
		Sync: f.Synchronous(), Degraded: f.Degraded, MaxLoss: uint64(f.MaxLoss), Unfenced: f.Unfenced}
	for _, member := range own.Order {
		m := own.Members[member]
		p := cluster.Peer{Name: member, Priority: m.Priority, NoFailover: m.NoFailover, Guard: m.Guard, Watchdog: m.Watchdog != "", Receiver: m.Receiver, Bare: m.Host == ""}
		if m.URL != "" {
			p.Address = address(m.URL)
		}
		if m.Host != "" {
			p.Agent = c.PeerAddress(m.Host)
		}
		out.Peers = append(out.Peers, p)
	}
	return out.WithDefaults()
}
