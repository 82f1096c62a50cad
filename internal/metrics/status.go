package metrics

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backstaydb/backstay/internal/api"
)

// The states that api.Status knows. One that is not listed here is shown too, so that a new one is never lost.
var (
	sourceStates     = []string{"starting", "base", "following", "healing", "behind", "failing", "stopped"}
	repositoryStates = []string{"ok", "behind", "failing", "empty"}
)

// statusCollector shows api.Status and the receivers of notices, asked anew for each scrape.
type statusCollector struct{ *asker }

// Describe implements prometheus.Collector.
func (statusCollector) Describe(out chan<- *prometheus.Desc) {
	for _, s := range All() {
		for _, prefix := range []string{"backstay_source_", "backstay_repository_", "backstay_cluster_", "backstay_member_", "backstay_listener_"} {
			if strings.HasPrefix(s.Name, prefix) {
				out <- s.desc
			}
		}
	}
	for _, s := range []Series{up, build, startTime, receiverState, noticesSent, noticesLost, noticesWaiting, noticesDelivered} {
		out <- s.desc
	}
}

// Collect implements prometheus.Collector.
func (c statusCollector) Collect(out chan<- prometheus.Metric) {
	w := writer{out}
	f, err := c.facts(context.Background())
	s := f.status
	w.put(up, bit(err == nil && s.Running))
	if err != nil {
		return
	}
	w.put(build, 1, s.Version)
	if s.Started != nil {
		w.time(startTime, *s.Started)
	}
	for _, source := range s.Sources {
		w.source(source)
	}
	for _, c := range s.Clusters {
		w.cluster(c)
	}
	for _, r := range f.receivers {
		w.receiver(r)
	}
}

// writer writes series to one scrape.
type writer struct{ out chan<- prometheus.Metric }

func (w writer) put(s Series, v float64, labels ...string) {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "?") // one bad name must not cost the others their series
	}
	w.out <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, v, labels...)
}

// time writes nothing for the zero time.
func (w writer) time(s Series, t time.Time, labels ...string) {
	if !t.IsZero() {
		w.put(s, unix(t), labels...)
	}
}

// state writes 1 for the state that stands and 0 for the others, so that alerts see a state end.
func (w writer) state(s Series, known []string, now string, labels ...string) {
	for _, state := range known {
		w.put(s, bit(state == now), append(slices.Clone(labels), state)...)
	}
	if !slices.Contains(known, now) && now != "" {
		w.put(s, 1, append(slices.Clone(labels), now)...)
	}
}

func (w writer) source(s api.Source) {
	w.put(sourceInfo, 1, s.Name, s.Engine, s.Mode)
	w.state(sourceState, sourceStates, s.State, s.Name)
	w.time(sourcePosition, s.PositionTime, s.Name)
	w.put(sourceBehind, float64(s.BehindBytes), s.Name)
	w.put(sourceHeld, float64(s.HeldBytes), s.Name)
	w.put(sourceHoldsUp, s.HoldsUp, s.Name)
	w.put(sourceSpool, float64(s.SpoolBytes), s.Name)
	w.put(sourceLimit, float64(s.SpoolLimit), s.Name)
	advice := map[string]int{"info": 0, "warning": 0}
	for _, a := range s.Advice {
		advice[a.Severity]++
	}
	for severity, n := range advice {
		w.put(sourceAdvice, float64(n), s.Name, severity)
	}
	for _, r := range s.Repositories {
		w.repository(s.Name, r)
	}
}

func (w writer) repository(source string, r api.Repository) {
	w.state(repositoryState, repositoryStates, r.State, source, r.Name)
	w.put(repositoryLag, r.LagSeconds, source, r.Name)
	w.put(repositoryLagP99, r.LagP99, source, r.Name)
	w.put(repositoryLagMax, r.LagMax, source, r.Name)
	w.put(repositoryBehind, float64(r.LagBytes), source, r.Name)
	w.time(repositoryDurable, r.DurableTime, source, r.Name)
	w.put(repositoryBases, float64(r.Bases), source, r.Name)
	w.time(repositoryBase, r.LastBase, source, r.Name)
	w.put(repositoryStored, float64(r.StoredBytes), source, r.Name)
}
