package metrics

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Kind is the type of a series.
type Kind string

// The kinds that there are.
const (
	Gauge     Kind = "gauge"
	Counter   Kind = "counter"
	Histogram Kind = "histogram"
)

// Series is one name that Prometheus reads from the daemon.
type Series struct {
	Name   string
	Kind   Kind
	Labels []string
	Help   string // one clause, with the meaning of its values

	desc *prometheus.Desc // made once: it costs more than a sample
}

func series(name string, kind Kind, labels []string, help string) Series {
	return Series{Name: name, Kind: kind, Labels: labels, Help: help, desc: prometheus.NewDesc(name, help, labels, nil)}
}

// The labels of what belongs to one source, to one repository of it, to one kind of job, to one promise, to one receiver of notices,
// to one cluster, one member, one listener of it.
var (
	ofSource     = []string{"source"}
	ofRepository = []string{"source", "repository"}
	ofJob        = []string{"source", "kind"}
	ofObjective  = []string{"source", "objective"}
	ofReceiver   = []string{"receiver"}
	ofCluster    = []string{"cluster"}
	ofMember     = []string{"cluster", "member"}
	ofListener   = []string{"cluster", "listener"}
)

// What the status says of the daemon.
var (
	up        = series("backstay_up", Gauge, nil, "1 if the daemon runs and says how it is; 0 if it does not answer itself")
	build     = series("backstay_build_info", Gauge, []string{"version"}, "always 1; the version of the daemon is a label")
	startTime = series("backstay_start_timestamp_seconds", Gauge, nil, "when the daemon began")
)

// What the status says of a source.
var (
	sourceInfo     = series("backstay_source_info", Gauge, []string{"source", "engine", "mode"}, "always 1; the engine and how the log is captured are labels")
	sourceState    = series("backstay_source_state", Gauge, []string{"source", "state"}, "1 for the state that the source is in and 0 for the others: starting, base, following, healing, behind, failing, stopped")
	sourcePosition = series("backstay_source_position_timestamp_seconds", Gauge, ofSource, "when the newest commit that is captured on this host was made")
	sourceBehind   = series("backstay_source_behind_bytes", Gauge, ofSource, "log that exists at the source and is not captured yet")
	sourceHeld     = series("backstay_source_held_bytes", Gauge, ofSource, "log that the source keeps only because of Backstay")
	sourceHoldsUp  = series("backstay_source_holds_up_seconds", Gauge, ofSource, "how long the last look at the source held its writers up")
	sourceSpool    = series("backstay_source_spool_bytes", Gauge, ofSource, "log kept on this host until every repository has it in a full segment")
	sourceLimit    = series("backstay_source_spool_limit_bytes", Gauge, ofSource, "how much log may be kept on this host; at the bound capture stops")
	sourceAdvice   = series("backstay_source_advice", Gauge, []string{"source", "severity"}, "how many things should be changed at the source")
)

// What the status says of a repository of a source.
var (
	repositoryState   = series("backstay_repository_state", Gauge, []string{"source", "repository", "state"}, "1 for the state that the repository is in and 0 for the others: ok, behind, failing, empty")
	repositoryLag     = series("backstay_repository_lag_seconds", Gauge, ofRepository, "age of the oldest commit that is not durable here yet: what would be lost now")
	repositoryLagP99  = series("backstay_repository_lag_p99_seconds", Gauge, ofRepository, "from a commit until it was durable here: 99 of 100 commits of the last five minutes took no longer")
	repositoryLagMax  = series("backstay_repository_lag_max_seconds", Gauge, ofRepository, "from a commit until it was durable here: the longest of the last five minutes")
	repositoryBehind  = series("backstay_repository_lag_bytes", Gauge, ofRepository, "log captured on this host and not durable here yet")
	repositoryDurable = series("backstay_repository_durable_timestamp_seconds", Gauge, ofRepository, "everything committed up to this time is durable here")
	repositoryBases   = series("backstay_repository_bases", Gauge, ofRepository, "number of base backups here")
	repositoryBase    = series("backstay_repository_last_base_timestamp_seconds", Gauge, ofRepository, "when the newest base stood")
	repositoryStored  = series("backstay_repository_stored_bytes", Gauge, ofRepository, "size of all objects of this source here")
)

// What the status says of a cluster, of its members, and of the addresses at which applications reach it.
var (
	clusterState   = series("backstay_cluster_state", Gauge, []string{"cluster", "state"}, "1 for what clients are led to here and 0 for the others: serving (the primary), holding (a planned change), closed (there is none)")
	clusterEpoch   = series("backstay_cluster_epoch", Gauge, ofCluster, "counts up with each change of the primary")
	clusterPaused  = series("backstay_cluster_paused", Gauge, ofCluster, "1 while no failover happens by itself because a person said so")
	memberUp       = series("backstay_member_up", Gauge, ofMember, "1 if the member answered the newest question")
	memberPrimary  = series("backstay_member_primary", Gauge, ofMember, "1 for the member that clients are led to")
	memberLag      = series("backstay_member_lag_seconds", Gauge, ofMember, "of a replica: how old its data is; absent if nobody knows")
	memberLagBytes = series("backstay_member_lag_bytes", Gauge, ofMember, "of a replica: log that it lacks")
	listenerOpen   = series("backstay_listener_connections", Gauge, ofListener, "connections of clients that stand")
	listenerHeld   = series("backstay_listener_waiting", Gauge, ofListener, "of them, that wait for a primary")
	listenerCame   = series("backstay_listener_accepted_total", Counter, ofListener, "connections that came")
	listenerEnds   = series("backstay_listener_ended_total", Counter, []string{"cluster", "listener", "reason"}, "what could not be carried on: refused (too many), expired (waited too long), failed (no session came of it), unmoved (idle, and holds what can't be moved), severed (in a transaction, which did not happen), unknown (it may have happened)")
	listenerMoved  = series("backstay_listener_moved_total", Counter, ofListener, "idle sessions that went on at another member without an error")
	listenerBytes  = series("backstay_listener_bytes_total", Counter, []string{"cluster", "listener", "direction"}, "carried: up to servers, down to clients")
)

// What was decided about the promises.
var (
	objectiveKept     = series("backstay_objective_kept", Gauge, ofObjective, "1 if the promise is kept, 0 if it is broken")
	objectiveExcepted = series("backstay_objective_excepted", Gauge, ofObjective, "1 if the promise is broken and somebody has excepted the source from it")
	objectiveMeasured = series("backstay_objective_measured_seconds", Gauge, ofObjective, "what was measured for the promise, where it is a matter of time")
	objectiveBound    = series("backstay_objective_bound_seconds", Gauge, ofObjective, "what was promised, where it is a matter of time")
	findings          = series("backstay_findings", Gauge, []string{"source", "objective", "severity"}, "how many findings stand that are not excepted")
)

// What the daemon told about its work.
var (
	jobRuns     = series("backstay_job_runs_total", Counter, []string{"source", "kind", "outcome"}, "jobs that ended, by outcome: done, failed, overran (stopped after its longest duration), interrupted")
	jobDuration = series("backstay_job_duration_seconds", Histogram, []string{"kind", "outcome"}, "how long jobs took, of all sources together")
	jobTook     = series("backstay_job_last_duration_seconds", Gauge, ofJob, "how long the last job took that ended well")
	jobSuccess  = series("backstay_job_last_success_timestamp_seconds", Gauge, ofJob, "when a job last ended well")
	jobFailures = series("backstay_job_consecutive_failures", Gauge, ofJob, "how many jobs have failed since one ended well")
	jobDue      = series("backstay_job_next_due_timestamp_seconds", Gauge, ofJob, "when the job is due next, or has been due since if it could not begin")
	jobRunning  = series("backstay_job_running", Gauge, ofJob, "1 while the job runs")
)

// What the status of the notices says of each receiver.
var (
	receiverState    = series("backstay_receiver_state", Gauge, []string{"receiver", "state"}, "1 for the state that the receiver of notices is in and 0 for the others: ok, failing, dead")
	noticesSent      = series("backstay_notices_sent_total", Counter, ofReceiver, "messages that the receiver took")
	noticesLost      = series("backstay_notices_lost_total", Counter, ofReceiver, "messages that were given up")
	noticesWaiting   = series("backstay_notices_waiting", Gauge, ofReceiver, "messages in the outbox that the receiver has not taken yet")
	noticesDelivered = series("backstay_notices_last_sent_timestamp_seconds", Gauge, ofReceiver, "when the receiver last took a message")
)

// What the daemon told about its stores.
var (
	storeCalls    = series("backstay_store_calls_total", Counter, []string{"repository", "call", "outcome"}, "calls to a store, by outcome: ok, taken (somebody else created it first), absent, canceled, failed")
	storeDuration = series("backstay_store_call_duration_seconds", Histogram, []string{"repository", "call"}, "how long calls to a store took")
)

// All lists every series of the daemon's own, in the order in which people read them. Beside them stand the series of
// the Go runtime (go_…) and of the process (process_…), which Prometheus's client library names.
func All() []Series {
	return []Series{
		up, build, startTime,
		sourceInfo, sourceState, sourcePosition, sourceBehind, sourceHeld, sourceHoldsUp, sourceSpool, sourceLimit, sourceAdvice,
		repositoryState, repositoryLag, repositoryLagP99, repositoryLagMax, repositoryBehind, repositoryDurable, repositoryBases, repositoryBase, repositoryStored,
		clusterState, clusterEpoch, clusterPaused, memberUp, memberPrimary, memberLag, memberLagBytes,
		listenerOpen, listenerHeld, listenerCame, listenerEnds, listenerMoved, listenerBytes,
		objectiveKept, objectiveExcepted, objectiveMeasured, objectiveBound, findings,
		jobRuns, jobDuration, jobTook, jobSuccess, jobFailures, jobDue, jobRunning,
		receiverState, noticesSent, noticesLost, noticesWaiting, noticesDelivered,
		storeCalls, storeDuration,
	}
}

// Page is the page of the reference that lists All.
func Page() string {
	var b strings.Builder
	b.WriteString(`# Metrics

What the daemon serves at ` + "`/metrics`" + ` of the address that ` + "`metrics`" + ` in backstay.yaml names. Names, labels and units are a
contract: they stay, and new ones may join them. A ` + "`_timestamp_seconds`" + ` is Unix time, and absent while there is none. Beside these stand
the series of the Go runtime (` + "`go_`" + `) and of the process (` + "`process_`" + `). A dashboard and alert rules lie in ` + "`monitor`" + `.

| series | type | labels | meaning |
|---|---|---|---|
`)
	for _, s := range All() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, s.Kind, strings.Join(s.Labels, ", "), s.Help)
	}
	b.WriteString("\n`/healthz` answers 200 with one line of JSON while the daemon itself is well, and 503 with the reason if it is not. A store that is away\nor a broken promise does not make the daemon unwell: a restart would mend neither.\n")
	return b.String()
}
