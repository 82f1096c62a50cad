package cluster

import "time"

// Config is what a person wrote of one cluster.
type Config struct {
	Cluster string
	Peers   []Peer // in the file's order

	After     time.Duration // silence on every path for so long is death; zero means 1s
	Lease     time.Duration // how long a beat lets the holder act, on its own clock; zero means 1.5s
	Drift     float64       // by how much any two clocks' rates may differ; zero means 0.02
	Ahead     time.Duration // how long a switchover waits for what can be done before sessions are held; zero means 5s
	DrainFor  time.Duration // a switchover that has not drained by then is called off; zero means 5s
	Patience  time.Duration // how long a candidate may take to become primary, or a planned stop; zero means 3s
	StopGrace time.Duration // by when after its deadline a guard has stopped the server for certain; zero means 500ms

	Manual   bool   // no failover by itself
	Sync     int    // how many members must have a commit before it is acknowledged
	Degraded bool   // go on without, alarmed, when fewer are there
	MaxLoss  uint64 // bytes of log that a failover may lose; 0 wants Sync
	Unfenced bool   // a person accepts that an old primary which nobody can stop may still answer clients that bypass the proxies
	Lagging  uint64 // a replica further behind takes part in no switchover; zero means 16 MiB
}

// Peer is a member as configured.
type Peer struct {
	Name       string
	Address    string // host:port of the server
	Agent      string // host:port of its agent
	Priority   int    // the higher is taken where positions are equal
	NoFailover bool   // never promoted by itself; its position counts
	Receiver   bool   // Backstay's own receiver: it flushes and acknowledges, and serves its log; it is never promoted
	Bare       bool   // it has no agent and is reached over SQL alone: its server can't be stopped, rewound or cloned
	Guard      bool   // a process of its own stops the server by the deadline though its agent is dead or frozen
	Watchdog   bool   // beside Guard: a device restarts the host by then though it stands still as a whole
}

// WithDefaults fills in what was left out.
func (c Config) WithDefaults() Config {
	fill(&c.After, time.Second)
	fill(&c.Lease, 1500*time.Millisecond)
	fill(&c.Drift, 0.02)
	fill(&c.Ahead, 5*time.Second)
	fill(&c.DrainFor, 5*time.Second)
	fill(&c.Patience, 3*time.Second)
	fill(&c.StopGrace, 500*time.Millisecond)
	fill(&c.Lagging, 16<<20)
	return c
}

func fill[T time.Duration | float64 | uint64](v *T, standard T) {
	if *v == 0 {
		*v = standard
	}
}

func (c *Config) peer(name string) Peer {
	for i := range c.Peers {
		if c.Peers[i].Name == name {
			return c.Peers[i]
		}
	}
	return Peer{}
}

// tenure is how long a challenger waits, on its own clock, where the holder counts Lease on its own.
func (c *Config) tenure() time.Duration {
	return c.Lease + time.Duration(float64(c.Lease)*c.Drift) + time.Millisecond
}
