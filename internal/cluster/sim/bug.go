package sim

// Bug is one fence left out.
type Bug struct {
	What   string
	Mode   Mode     // in which it matters; empty: any
	Seed   uint64   // to begin at: it is found near there, which keeps the test quick; zero means 1
	Faults []string // that bring it out, drawn beside all others; empty: none in particular
}

// Bugs are the fences that can be left out, one at a time. The test of the simulation is that each is missed.
var Bugs = map[string]Bug{
	"compare":         {What: "a claim is written without comparing", Seed: 225},
	"routes":          {What: "promotion does not wait for the proxies", Mode: Routed, Faults: []string{"cut keepers", "failover asked"}},
	"tenure":          {What: "a keeper waits for less than the holder's tenure", Mode: Routed, Faults: []string{"isolate"}},
	"vouch":           {What: "members vouch for an epoch though they promised a newer one", Mode: Routed, Faults: []string{"hide holder", "hide holder", "failover asked"}},
	"vouched":         {What: "a keeper does not ask when a member vouched last", Mode: Routed, Faults: []string{"deaf", "deaf", "isolate"}},
	"life":            {What: "a proxy's word is taken for that of its next life", Seed: 243, Mode: Routed, Faults: []string{"restart closed proxies", "cut keepers", "failover asked"}},
	"unrecorded":      {What: "a holder grants to proxies that the state does not know", Seed: 66, Mode: Routed, Faults: []string{"restart closed proxies", "hide holder", "failover asked"}},
	"answer":          {What: "a proxy does not look at its lease before it hands on an answer", Mode: Routed, Faults: []string{"delay messages", "isolate", "failover asked"}},
	"from the answer": {What: "a lease counts from when the answer came", Mode: Routed, Faults: []string{"delay messages", "isolate", "isolate"}},
	"attached":        {What: "fenced standbys go on acknowledging for the old primary", Mode: Synchronous},
	"oath":            {What: "promises are forgotten at a restart", Mode: Synchronous, Faults: []string{"late commands", "hide primary", "late commands"}},
	"lost oath":       {What: "a member without a disk promises before it has read the state", Mode: Synchronous, Faults: []string{"late commands, disk lost", "hide primary"}},
	"witnesses":       {What: "one promise too few is enough", Mode: Synchronous, Faults: []string{"only the late answer"}},
	"blank":           {What: "a member whose log is not whole counts", Seed: 54, Mode: Synchronous, Faults: []string{"wipe", "crash host"}},
	"start":           {What: "a candidate is promoted with less than it was appointed for", Mode: Synchronous, Faults: []string{"wipe next", "failover asked"}},
	"settled":         {What: "an old quorum is dropped before the new one has what it acknowledged", Seed: 470, Mode: Degrading, Faults: []string{"alone, then dead"}},
	"joint":           {What: "only the newest of two quorums is asked", Mode: Degrading, Faults: []string{"alone, then dead"}},
	"stale count":     {What: "a late command brings an old quorum back", Seed: 61, Mode: Degrading, Faults: []string{"late count"}},
	"untenured":       {What: "a server is promoted without holding the epoch's tenure", Seed: 33, Mode: Asynchronous, Faults: []string{"late promotion", "failover asked"}},
	"rising":          {What: "a member whose promotion was begun promises without being stopped", Seed: 195, Mode: Synchronous, Faults: []string{"slow promotion"}},
	"grace":           {What: "a guard is given no time to stop the server", Mode: Asynchronous, Faults: []string{"deaf", "freeze agent", "failover asked"}},
	"deadline":        {What: "the server is not stopped when the tenure ends", Mode: Asynchronous},
}

// Mode is a way in which people set a cluster up.
type Mode string

const (
	Synchronous  Mode = "synchronous"  // a commit waits for half of the other members
	Degrading    Mode = "degrading"    // the same, but goes on alone when they are missing
	Asynchronous Mode = "asynchronous" // a guard on each host stops the server by the deadline
	Routed       Mode = "routed"       // asynchronous, nobody stops a server, a person accepted that: clients come through proxies only
)
