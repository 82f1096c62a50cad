package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// notices counts what people were told.
type notices struct {
	sent, failed       *prometheus.CounterVec
	failures, lastSent *prometheus.GaugeVec
	waiting            prometheus.Gauge
}

func newNotices() notices {
	return notices{
		sent: counterVec(noticesSent), failed: counterVec(noticesFailed),
		failures: gaugeVec(noticesFailures), lastSent: gaugeVec(noticesSuccess),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: noticesWaiting.Name, Help: noticesWaiting.Help}),
	}
}

func (n notices) collectors() []prometheus.Collector {
	return []prometheus.Collector{n.sent, n.failed, n.failures, n.lastSent, n.waiting}
}

// KnowChannel begins the series of a channel, so that they stand at zero before its first notice.
func (m *Metrics) KnowChannel(channel string) {
	channel = nameOf(channel)
	m.notices.sent.WithLabelValues(channel)
	m.notices.failed.WithLabelValues(channel)
	m.notices.failures.WithLabelValues(channel)
}

// NoticeSent says that a channel took a notice.
func (m *Metrics) NoticeSent(channel string) {
	channel = nameOf(channel)
	m.notices.sent.WithLabelValues(channel).Inc()
	m.notices.failures.WithLabelValues(channel).Set(0)
	m.notices.lastSent.WithLabelValues(channel).Set(unix(m.config.Now()))
}

// NoticeFailed says that an attempt to send through a channel failed.
func (m *Metrics) NoticeFailed(channel string) {
	channel = nameOf(channel)
	m.notices.failed.WithLabelValues(channel).Inc()
	m.notices.failures.WithLabelValues(channel).Inc()
}

// NoticesWaiting says how many notices lie in the outbox.
func (m *Metrics) NoticesWaiting(n int) { m.notices.waiting.Set(float64(n)) }

// nameOf is the scheme of a URL, and any other name as it is: the rest of a notice's URL is a secret.
func nameOf(channel string) string {
	scheme, _, _ := strings.Cut(channel, ":")
	return scheme
}
