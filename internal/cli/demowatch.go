package cli

import (
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/api"
)

// watch keeps what the daemon of the demo last said.
type watch struct {
	mu  sync.Mutex
	now api.Repository
	p99 float64 // seconds from a commit until it was durable, of 99 of 100 commits
	max float64 // and of the slowest
}

func (w *watch) observe(s api.Status) {
	if len(s.Sources) == 0 || len(s.Sources[0].Repositories) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = s.Sources[0].Repositories[0]
	w.p99, w.max = max(w.p99, w.now.LagP99), max(w.max, w.now.LagMax)
}

// durable reports whether everything up to a moment is in the repository.
func (w *watch) durable(moment time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now.Bases > 0 && w.now.DurableTime.After(moment)
}

// lag is what 99 of 100 commits took until they were durable, and the slowest, in seconds.
func (w *watch) lag() (p99, slowest float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.p99, w.max
}

func (w *watch) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return "durable in the repository: everything but the last " + span(seconds(w.now.LagSeconds))
}
