package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// receiverStates are the states of whom notices are sent to.
var receiverStates = []string{"ok", "failing", "dead"}

// Receiver is how somebody who is told of findings is reached.
type Receiver struct {
	Name      string    // different from all others, and no secret; of a URL only the scheme is shown
	Sent      int       // messages since the daemon began
	Lost      int       // messages given up since the daemon began
	Waiting   int       // messages that it has not taken yet
	Delivered time.Time // when it last took one; zero: not since the daemon began
	Failing   bool      // every attempt since some time fails
	Dead      bool      // it fails for so long that others are told
}

func (r Receiver) state() string {
	switch {
	case r.Dead:
		return "dead"
	case r.Failing:
		return "failing"
	}
	return "ok"
}

func (w writer) receiver(r Receiver) {
	// What stands behind the scheme of a receiver's URL is a secret; whoever used it as the name must not publish it.
	name, _, _ := strings.Cut(r.Name, "://")
	w.state(receiverState, receiverStates, r.state(), name)
	w.count(noticesSent, r.Sent, name)
	w.count(noticesLost, r.Lost, name)
	w.put(noticesWaiting, float64(r.Waiting), name)
	w.time(noticesDelivered, r.Delivered, name)
}

func (w writer) count(s Series, n int, labels ...string) {
	w.out <- prometheus.MustNewConstMetric(s.desc, prometheus.CounterValue, float64(n), labels...)
}
