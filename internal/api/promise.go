package api

import "time"

// Promise is one promise made for a source, and how it stands.
type Promise struct {
	Objective  string    `json:"objective" doc:"rpo, rto, window, coverage, drill, check, deep-check, copies, spool or schedule"`
	Kept       bool      `json:"kept" doc:"whether it is kept"`
	Bound      float64   `json:"bound_seconds,omitempty" doc:"what was promised, where that is a time"`
	Measured   float64   `json:"measured_seconds,omitempty" doc:"what was measured, in the same sense: lag, forecast restore time, how far back one can go, age of the last drill or check"`
	Severity   string    `json:"severity,omitempty" doc:"warning or critical, if it is not kept"`
	Since      time.Time `json:"since,omitzero" doc:"since when it is not kept"`
	Repository string    `json:"repository,omitempty" doc:"that it is about, if it is about one"`
	Reason     string    `json:"reason,omitempty" doc:"why it is not kept, with what was measured"`
	Do         string    `json:"do,omitempty" doc:"what helps"`
	Exception  string    `json:"exception,omitempty" doc:"why nobody is told of it, and who approved that"`
}

// Job is something that is done again and again for a source.
type Job struct {
	Source      string    `json:"source" doc:"name of the source"`
	Kind        string    `json:"kind" doc:"base/full, drill, check, deep-check or retention"`
	State       string    `json:"state" doc:"rest, start (about to begin), hold (due and waiting), running or stop (running longer than it may)"`
	Since       time.Time `json:"since,omitzero" doc:"due or running since then"`
	Next        time.Time `json:"next,omitzero" doc:"when it is due next, or when what it waits for is over"`
	Reason      string    `json:"reason" doc:"why, in one sentence"`
	Last        time.Time `json:"last,omitzero" doc:"when it ended last"`
	LastOutcome string    `json:"last_outcome,omitempty" doc:"done, failed, overran or interrupted"`
	LastError   string    `json:"last_error,omitempty" doc:"of that run"`
}

// Pause is what is asked of a daemon with pause.
type Pause struct {
	Kind   string    `json:"kind,omitempty"` // "" for all jobs of the source
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"`
}

// Run is one job that was carried out.
type Run struct {
	Source  string    `json:"source" doc:"name of the source"`
	Kind    string    `json:"kind" doc:"of the job"`
	Why     string    `json:"why" doc:"why it was due"`
	Began   time.Time `json:"began" doc:"when"`
	Ended   time.Time `json:"ended,omitzero" doc:"when; absent while it runs"`
	Outcome string    `json:"outcome,omitempty" doc:"done, failed or interrupted; absent while it runs"`
	Detail  string    `json:"detail,omitempty" doc:"what came of it"`
	Bytes   int64     `json:"bytes,omitempty" doc:"that were moved or freed"`
}
