package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcome is how a job ended.
type Outcome string

// The outcomes that there are.
const (
	Done        Outcome = "done"
	Failed      Outcome = "failed"
	Overran     Outcome = "overran"     // it was stopped after its longest duration; it counts as a failure
	Interrupted Outcome = "interrupted" // by a person, or by the end of the daemon; it says nothing about the source
)

// Job is what is known of a kind of job of a source from before this daemon began.
type Job struct {
	Source      string    // empty for the jobs of the host itself
	Kind        string    // base/full, drill, check, deep-check, retention and so on
	LastSuccess time.Time // zero: never
	Took        time.Duration
	Failures    int // since then
}

// jobs counts what ran.
type jobs struct {
	runs                                  *prometheus.CounterVec
	duration                              *prometheus.HistogramVec
	took, success, failures, due, running *prometheus.GaugeVec
}

func newJobs() jobs {
	return jobs{
		runs: counterVec(jobRuns),
		// From a check of a small source to a base of many terabytes: 0.1 s to 29 hours, each bucket four times the last.
		duration: histogramVec(jobDuration, prometheus.ExponentialBuckets(0.1, 4, 11)),
		took:     gaugeVec(jobTook), success: gaugeVec(jobSuccess), failures: gaugeVec(jobFailures), due: gaugeVec(jobDue), running: gaugeVec(jobRunning),
	}
}

func (j jobs) collectors() []prometheus.Collector {
	return []prometheus.Collector{j.runs, j.duration, j.took, j.success, j.failures, j.due, j.running}
}

// begin lets the counters of a kind of job stand at 0 before its first end: Prometheus sees no increase in a series
// that begins with 1.
func (j jobs) begin(source, kind string) {
	for _, o := range []Outcome{Done, Failed, Overran, Interrupted} {
		j.runs.WithLabelValues(source, kind, string(o))
	}
	j.failures.WithLabelValues(source, kind)
}

func (j jobs) forget(source string) {
	of := prometheus.Labels{"source": source}
	j.runs.DeletePartialMatch(of)
	for _, v := range []*prometheus.GaugeVec{j.took, j.success, j.failures, j.due, j.running} {
		v.DeletePartialMatch(of)
	}
}

// KnowJob says how a kind of job stood when the daemon began, so that "the last success" outlives a restart.
func (m *Metrics) KnowJob(j Job) {
	m.jobs.failures.WithLabelValues(j.Source, j.Kind).Set(float64(j.Failures))
	if !j.LastSuccess.IsZero() {
		m.jobs.success.WithLabelValues(j.Source, j.Kind).Set(unix(j.LastSuccess))
		m.jobs.took.WithLabelValues(j.Source, j.Kind).Set(j.Took.Seconds())
	}
}

// JobDue says when a kind of job is due next. The zero time: it is not planned, and its series ends.
func (m *Metrics) JobDue(source, kind string, at time.Time) {
	if at.IsZero() {
		m.jobs.due.DeleteLabelValues(source, kind)
		return
	}
	m.jobs.begin(source, kind)
	m.jobs.due.WithLabelValues(source, kind).Set(unix(at))
}

// JobBegan says that a job runs; JobEnded must follow.
func (m *Metrics) JobBegan(source, kind string) {
	m.jobs.begin(source, kind)
	m.jobs.running.WithLabelValues(source, kind).Set(1)
}

// JobEnded says how a job ended that took so long. One that was interrupted changes neither the last success nor the
// failures in a row.
func (m *Metrics) JobEnded(source, kind string, outcome Outcome, took time.Duration) {
	m.jobs.running.WithLabelValues(source, kind).Set(0)
	m.jobs.runs.WithLabelValues(source, kind, string(outcome)).Inc()
	m.jobs.duration.WithLabelValues(kind, string(outcome)).Observe(took.Seconds())
	failures := m.jobs.failures.WithLabelValues(source, kind)
	switch outcome {
	case Done:
		failures.Set(0)
		m.jobs.success.WithLabelValues(source, kind).Set(unix(m.config.Now()))
		m.jobs.took.WithLabelValues(source, kind).Set(took.Seconds())
	case Failed, Overran:
		failures.Inc()
	}
}
