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
	lag float64 // largest seen, in seconds
}

func (w *watch) observe(s api.Status) {
	if len(s.Sources) == 0 || len(s.Sources[0].Repositories) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = s.Sources[0].Repositories[0]
	if w.now.Bases > 0 {
		w.lag = max(w.lag, w.now.LagSeconds)
	}
}

// durable reports whether everything up to a moment is in the repository.
func (w *watch) durable(moment time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now.Bases > 0 && w.now.DurableTime.After(moment)
}

func (w *watch) largest() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lag
}

func (w *watch) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return "durable in the repository: everything but the last " + span(seconds(w.now.LagSeconds))
}
