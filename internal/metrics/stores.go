package metrics

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stores counts calls to stores.
type stores struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newStores() stores {
	return stores{
		calls: counterVec(storeCalls),
		// From a folder to a bucket far away with a full pack: 1 ms to 65 s, each bucket four times the last.
		duration: histogramVec(storeDuration, prometheus.ExponentialBuckets(0.001, 4, 9)),
	}
}

func (s stores) collectors() []prometheus.Collector {
	return []prometheus.Collector{s.calls, s.duration}
}

// StoreCall says how one call (put, open, stat, list, delete) to the store of a repository ended. It costs half a microsecond.
func (m *Metrics) StoreCall(repository, call string, took time.Duration, err error) {
	m.stores.calls.WithLabelValues(repository, call, outcomeOf(err)).Inc()
	m.stores.duration.WithLabelValues(repository, call).Observe(took.Seconds())
}

// outcomeOf tells what a repository expects (a name that is taken, an object that is not there) from what failed.
func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, fs.ErrExist):
		return "taken"
	case errors.Is(err, fs.ErrNotExist):
		return "absent"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "failed"
}
