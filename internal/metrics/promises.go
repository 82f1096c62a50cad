package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// severities are those that a finding can have.
var severities = []string{"warning", "critical"}

// Promise is one objective of one source.
type Promise struct {
	Source    string
	Objective string        // rpo, rto, window, coverage, drill, check, deep-check, copies, spool, schedule
	Measured  time.Duration // what was measured; shown only with a Bound
	Bound     time.Duration // what was promised; zero if it is not a matter of time
}

// Finding is one statement that a promise is broken.
type Finding struct {
	Source    string
	Objective string
	Severity  string // warning or critical
	Excepted  bool   // somebody has excepted the source: it is shown as broken, and nobody is alerted
}

// promises shows the newest judgement as a whole.
type promises struct {
	mu       sync.Mutex
	made     []Promise
	findings []Finding
}

// SetPromises says which promises are made and which findings stand, and replaces what was said before: the series of
// what is in neither list end. Of several entries for one objective of a source the first counts.
func (m *Metrics) SetPromises(made []Promise, findings []Finding) {
	p := &m.promises
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made, p.findings = slices.Clone(made), slices.Clone(findings)
}

func (p *promises) forget(source string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made = slices.DeleteFunc(slices.Clone(p.made), func(m Promise) bool { return m.Source == source })
	p.findings = slices.DeleteFunc(slices.Clone(p.findings), func(f Finding) bool { return f.Source == source })
}

// Describe implements prometheus.Collector.
func (p *promises) Describe(out chan<- *prometheus.Desc) {
	for _, s := range []Series{objectiveKept, objectiveExcepted, objectiveMeasured, objectiveBound, findings} {
		out <- s.desc
	}
}

// Collect implements prometheus.Collector.
func (p *promises) Collect(out chan<- prometheus.Metric) {
	p.mu.Lock()
	made, stand := p.made, p.findings // both are replaced, never changed
	p.mu.Unlock()
	w := writer{out}
	for _, t := range tallies(made, stand) {
		w.put(objectiveKept, bit(t.broken == 0), t.Source, t.Objective)
		w.put(objectiveExcepted, bit(t.broken > 0 && t.excepted == t.broken), t.Source, t.Objective)
		if t.Bound > 0 {
			w.put(objectiveMeasured, t.Measured.Seconds(), t.Source, t.Objective)
			w.put(objectiveBound, t.Bound.Seconds(), t.Source, t.Objective)
		}
		for severity, n := range t.told {
			w.put(findings, float64(n), t.Source, t.Objective, severity)
		}
	}
}

// tally counts the findings of one promise.
type tally struct {
	Promise
	broken, excepted int
	told             map[string]int // by severity; those that are excepted do not count
}

// tallies has one for each promise, and for what is broken without having been promised to anybody by name.
func tallies(made []Promise, stand []Finding) map[[2]string]*tally {
	all := map[[2]string]*tally{}
	begin := func(p Promise) *tally {
		key := [2]string{p.Source, p.Objective}
		if all[key] == nil {
			all[key] = &tally{Promise: p, told: map[string]int{}}
			for _, s := range severities {
				all[key].told[s] = 0 // an alert ends when it sees 0
			}
		}
		return all[key]
	}
	for _, p := range made {
		begin(p)
	}
	for _, f := range stand {
		t := begin(Promise{Source: f.Source, Objective: f.Objective})
		t.broken++
		if f.Excepted {
			t.excepted++
		} else {
			t.told[f.Severity]++
		}
	}
	return all
}
