package api

import "time"

// Unsettled ends Cluster.Sync while some of what was acknowledged may be known to the primary alone: its loss would stop the cluster.
const Unsettled = "; a failover needs more, until they have all that was acknowledged before"

// Cluster is how one cluster is doing, as this host sees it.
type Cluster struct {
	Name      string            `json:"name" doc:"as in backstay.yaml"`
	Kind      string            `json:"kind" doc:"of its servers: postgres, mysql, redis or tcp"`
	Mode      string            `json:"mode" doc:"who decides which member is primary: automatic, manual, or external (somebody else)"`
	Running   bool              `json:"running" doc:"whether a daemon watches it here; if not, the members were asked just now"`
	State     string            `json:"state" doc:"what clients are led to: serving (the primary), holding (a planned change), closed (there is none)"`
	Phase     string            `json:"phase,omitempty" doc:"where the cluster stands: forming, serving, draining, fencing, promoting; absent where somebody else decides"`
	Primary   string            `json:"primary,omitempty" doc:"member that clients are led to; absent if there is none"`
	Epoch     uint64            `json:"epoch" doc:"counts up with each change of the primary"`
	Reason    string            `json:"reason" doc:"why, in one sentence"`
	Next      string            `json:"next,omitempty" doc:"what would be done now, and why; absent for nothing"`
	Paused    bool              `json:"paused,omitempty" doc:"no failover by itself"`
	Request   string            `json:"request,omitempty" doc:"what a person asked for and is not done yet"`
	Keeper    string            `json:"keeper,omitempty" doc:"host that decides now"`
	Sync      string            `json:"sync,omitempty" doc:"who must have a commit before it is acknowledged; absent for nobody"`
	Degraded  bool              `json:"degraded,omitempty" doc:"fewer members must have a commit than was promised, since too few are there"`
	Hindrance string            `json:"hindrance,omitempty" doc:"why nobody could take over by itself if the primary were lost now; absent where somebody could, and while there is no primary"`
	Stored    string            `json:"stored,omitempty" doc:"how far a repository has the primary's log, as its users write it; absent where the cluster is no source, or nobody says"`
	Members   []ClusterMember   `json:"members" doc:"in the order of the file"`
	Listeners []ClusterListener `json:"listeners,omitempty" doc:"of this host"`
}

// ClusterMember is how one member is doing.
type ClusterMember struct {
	Name       string    `json:"name" doc:"as in backstay.yaml"`
	Address    string    `json:"address,omitempty" doc:"host and port of the server"`
	Host       string    `json:"host,omitempty" doc:"on which an agent acts"`
	Role       string    `json:"role" doc:"by its own word: primary, replica, receiver (Backstay's own), any (nothing says which), stopped, or unknown while it does not answer"`
	Timeline   uint32    `json:"timeline,omitempty" doc:"that it is on"`
	Position   string    `json:"position,omitempty" doc:"end of its log, or how far it has replayed, as its users write it"`
	Following  string    `json:"following,omitempty" doc:"member that it streams from"`
	LagSeconds float64   `json:"lag_seconds" doc:"of a replica: how old its data is; negative if nobody knows: then lag_bytes may be known"`
	LagBytes   uint64    `json:"lag_bytes" doc:"of a replica: log that it lacks; zero if it lacks none, or nobody knows"`
	NoStream   bool      `json:"no_stream,omitempty" doc:"of a replica of a cluster that Backstay manages: its primary sends it no log, so it falls behind"`
	Promised   uint64    `json:"promised,omitempty" doc:"the newest epoch that its agent has promised"`
	Answered   time.Time `json:"answered_time,omitzero" doc:"when it answered last"`
	Version    string    `json:"version,omitempty" doc:"of the server"`
	Error      string    `json:"error,omitempty" doc:"why the newest question had no answer, or what is wrong"`
	Full       bool      `json:"disk_full,omitempty" doc:"the disk of its data or its log has less than 48 MiB left"`
	NoFailover bool      `json:"nofailover,omitempty" doc:"never becomes primary by itself"`
}

// ClusterListener is one address at which applications reach a cluster.
type ClusterListener struct {
	Role     string `json:"role" doc:"rw or ro"`
	Address  string `json:"address" doc:"host and port"`
	Error    string `json:"error,omitempty" doc:"why it does not listen"`
	Open     int64  `json:"open" doc:"connections that stand"`
	Held     int64  `json:"held" doc:"of them, that wait for a primary"`
	Accepted int64  `json:"accepted" doc:"connections that came"`
	Refused  int64  `json:"refused" doc:"turned away because too many stand or wait"`
	Expired  int64  `json:"expired" doc:"waited for a primary for longer than they may"`
	Failed   int64  `json:"failed" doc:"did not get as far as a session"`
	Moved    int64  `json:"moved" doc:"idle sessions that went on at another member without an error"`
	Unmoved  int64  `json:"unmoved" doc:"idle sessions that were closed because of what they held, or might have held"`
	Severed  int64  `json:"severed" doc:"sessions closed with something open that did not happen"`
	Unknown  int64  `json:"unknown" doc:"sessions closed with something open of which nobody here knows whether it happened"`
	Up       int64  `json:"up_bytes" doc:"carried to servers"`
	Down     int64  `json:"down_bytes" doc:"carried to clients"`
}

// ClusterCheck is what cluster init found.
type ClusterCheck struct {
	Cluster string              `json:"cluster" doc:"as in backstay.yaml"`
	Members []ClusterInspection `json:"members" doc:"in the order of the file"`
	Refused []ClusterRefusal    `json:"refused" doc:"why the cluster can't be run as it is; none: it can, once nothing is missing"`
	SQL     []string            `json:"sql,omitempty" doc:"rights and settings that are missing: to be run on the primary by a superuser"`
	Restart bool                `json:"restart,omitempty" doc:"some of that needs a restart of the servers"`
	Wishes  []string            `json:"wishes,omitempty" doc:"what works without, and better with"`
	Done    []string            `json:"done,omitempty" doc:"what was made on this host"`
	Tokens  []JoinToken         `json:"tokens,omitempty" doc:"one for each host that has to join"`
}

// ClusterInspection is what one member said.
type ClusterInspection struct {
	Name     string   `json:"name" doc:"as in backstay.yaml"`
	Address  string   `json:"address,omitempty" doc:"host and port of the server"`
	SystemID string   `json:"system_id,omitempty" doc:"the same for copies of one server"`
	Major    int      `json:"major,omitempty" doc:"version of the server"`
	Primary  bool     `json:"primary" doc:"whether it says that it is one"`
	Missing  []string `json:"missing,omitempty" doc:"SQL for what it lacks"`
	Away     bool     `json:"away,omitempty" doc:"its server does not run; its agent starts it, or fills it where it has no data"`
	Error    string   `json:"error,omitempty" doc:"why it could not be asked"`
	Hint     string   `json:"hint,omitempty" doc:"what to do about that"`
}

// ClusterRefusal is one reason against a cluster.
type ClusterRefusal struct {
	Member string `json:"member,omitempty" doc:"that it is about; absent: all"`
	Reason string `json:"reason" doc:"in one sentence"`
	Hint   string `json:"hint,omitempty" doc:"what to do about it"`
}

// JoinToken lets one host join once.
type JoinToken struct {
	Host  string    `json:"host" doc:"that may join"`
	Token string    `json:"token" doc:"a secret: for backstay cluster join on that host"`
	Ends  time.Time `json:"ends" doc:"when it is good no more"`
}

// ClusterOrder is what a person wants done with a cluster.
type ClusterOrder struct {
	Verb   string `json:"verb"`              // switchover, failover, pause, resume, rejoin or reinstate
	To     string `json:"to,omitempty"`      // member: the next primary; of rejoin the one that is to come back
	By     string `json:"by"`                // who asks
	Why    string `json:"why,omitempty"`     // for the audit log
	Lose   bool   `json:"lose,omitempty"`    // failover, reinstate: go on though acknowledged writes are lost, or may be
	DryRun bool   `json:"dry_run,omitempty"` // say what would be done now, and do nothing
}

// ClusterOutcome is what came of an order.
type ClusterOutcome struct {
	Cluster string   `json:"cluster" doc:"that it was about"`
	Done    bool     `json:"done" doc:"whether it is done; false for a dry run"`
	Text    string   `json:"text" doc:"what came of it, or what would be done and why, in one sentence"`
	Primary string   `json:"primary,omitempty" doc:"member that is primary now"`
	Epoch   uint64   `json:"epoch,omitempty" doc:"that counts now"`
	Seconds float64  `json:"seconds" doc:"how long it took"`
	Actions []string `json:"actions,omitempty" doc:"of a dry run: what would be done and waited for, if whoever answers now does what it is told"`
	Then    string   `json:"then,omitempty" doc:"of a dry run: who would be primary then, how far its log goes, what may be lost, and why; absent where nothing would be done"`
}

// Voter is one of the hosts that keep together who is primary.
type Voter struct {
	Host    string `json:"host" doc:"as in backstay.yaml; its address where it was added and never ran"`
	Role    string `json:"role" doc:"leader, voter, or learner (is sent everything, and has no vote yet)"`
	Answers bool   `json:"answers" doc:"whether it answered just now"`
	Behind  uint64 `json:"behind" doc:"changes that it lacks; meaningless if it does not answer"`
	Bytes   int64  `json:"bytes" doc:"of what it keeps"`
	Error   string `json:"error,omitempty" doc:"what it complains about"`
}

// VoterTurnover is what was done with the voters, or would be.
type VoterTurnover struct {
	Done   bool     `json:"done" doc:"whether it is done; false for a dry run"`
	Steps  []string `json:"steps" doc:"one by one, in this order; none: all is so already"`
	Voters []string `json:"voters" doc:"hosts that vote now, or before a dry run"`
}

// VoterRecovery is what a person wants whose voters are lost but for the one of this host.
type VoterRecovery struct {
	By     string `json:"by"`                // who asks
	Why    string `json:"why,omitempty"`     // for the audit log
	Lose   bool   `json:"lose,omitempty"`    // members that do not answer may have acknowledged what only they know: go on though
	DryRun bool   `json:"dry_run,omitempty"` // say what would be done, and do nothing
}

// VoterRecovered is what came of it.
type VoterRecovered struct {
	Done     bool               `json:"done" doc:"whether it is done; false for a dry run"`
	Clusters []ClusterReinstate `json:"clusters" doc:"one entry for each that Backstay manages"`
	Kept     string             `json:"kept,omitempty" doc:"where the voter's folder of before lies"`
}

// ClusterReinstate says how a cluster goes on whose state may be older than what its members know.
type ClusterReinstate struct {
	Cluster string   `json:"cluster" doc:"as in backstay.yaml"`
	Before  uint64   `json:"before" doc:"epoch that the voter had on record"`
	Epoch   uint64   `json:"epoch" doc:"that counts from now on: above each that may have been given out; zero: the cluster never had one"`
	Absent  []string `json:"absent,omitempty" doc:"members that did not answer"`
}
