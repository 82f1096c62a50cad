package metrics

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/backstaydb/backstay/internal/api"
)

// Config says what Metrics shows.
type Config struct {
	// Status says how all sources are doing. It answers from memory, at once, and may be called from any goroutine.
	Status func() api.Status
	// Receivers says how those are reached whom notices are sent to; nil: there are none. Like Status it answers at once.
	Receivers func() []Receiver
	// Well says why the daemon is not well, or nil if it is; it may be nil. It answers at once.
	Well func() error
	// Log hears what goes wrong while answering; nil: nobody.
	Log *slog.Logger
	// Now tells the time; nil: time.Now.
	Now func() time.Time
}

// Metrics holds what the daemon told, and answers scrapes. All methods may be called from any goroutine at once.
type Metrics struct {
	config   Config
	registry *prometheus.Registry
	asker    *asker

	promises promises
	jobs     jobs
	stores   stores
}

// New returns the series of a daemon. Nothing is served before Handler or Serve.
func New(c Config) *Metrics {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	m := &Metrics{
		config: c, registry: prometheus.NewRegistry(), asker: &asker{ask: c.facts},
		jobs: newJobs(), stores: newStores(),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		statusCollector{m.asker}, &m.promises,
	)
	for _, group := range [][]prometheus.Collector{m.jobs.collectors(), m.stores.collectors()} {
		m.registry.MustRegister(group...)
	}
	return m
}

// facts asks all that answers.
func (c Config) facts() facts {
	f := facts{status: c.Status()}
	if c.Receivers != nil {
		f.receivers = c.Receivers()
	}
	return f
}

// Forget drops all that was told about a source which has left the configuration.
func (m *Metrics) Forget(source string) {
	m.promises.forget(source)
	m.jobs.forget(source)
}

// unix is t as Prometheus keeps times.
func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }

// bit is 1 for true.
func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func gaugeVec(s Series) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: s.Name, Help: s.Help}, s.Labels)
}

func counterVec(s Series) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: s.Name, Help: s.Help}, s.Labels)
}

func histogramVec(s Series, buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: s.Name, Help: s.Help, Buckets: buckets}, s.Labels)
}
