package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// severities are those that a finding can have.
var severities = []string{"info", "warning", "critical"}

// Objective is how one promise to one source stands.
type Objective struct {
	Source   string
	Name     string        // rpo, rto, window, drill, check, copies, coverage, spool, schedule
	Severity string        // of the finding: info, warning or critical; empty if the promise is kept
	Excepted bool          // somebody has excepted the source from it: it is shown, and nobody is alerted
	Measured time.Duration // what was measured; shown only with a Bound
	Bound    time.Duration // what was promised; zero if the promise is not a matter of time
}

// objectives shows the newest judgement as a whole.
type objectives struct {
	mu  sync.Mutex
	all []Objective
}

// SetObjectives says how all promises stand, and replaces what was said before: a promise that is not in the list is
// no longer made, and its series end.
func (m *Metrics) SetObjectives(all []Objective) {
	m.objectives.mu.Lock()
	defer m.objectives.mu.Unlock()
	m.objectives.all = slices.Clone(all)
}

func (o *objectives) forget(source string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = slices.DeleteFunc(o.all, func(j Objective) bool { return j.Source == source })
}

// Describe implements prometheus.Collector.
func (o *objectives) Describe(out chan<- *prometheus.Desc) {
	for _, s := range []Series{objectiveKept, objectiveExcepted, objectiveMeasured, objectiveBound, findings} {
		out <- s.desc
	}
}

// Collect implements prometheus.Collector.
func (o *objectives) Collect(out chan<- prometheus.Metric) {
	o.mu.Lock()
	all := slices.Clone(o.all)
	o.mu.Unlock()
	w := writer{out}
	for _, j := range all {
		w.put(objectiveKept, bit(j.Severity == ""), j.Source, j.Name)
		w.put(objectiveExcepted, bit(j.Excepted), j.Source, j.Name)
		if j.Bound > 0 {
			w.put(objectiveMeasured, j.Measured.Seconds(), j.Source, j.Name)
			w.put(objectiveBound, j.Bound.Seconds(), j.Source, j.Name)
		}
		told := j.Severity
		if j.Excepted {
			told = ""
		}
		w.state(findings, severities, told, j.Source, j.Name)
	}
}
