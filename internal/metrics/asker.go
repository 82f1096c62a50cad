package metrics

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/api"
)

// patience is how long the daemon may take to say how it is. It answers from memory; more than this is a deadlock.
const patience = 2 * time.Second

var errSilent = errors.New("the daemon did not say within 2s how it is")

// asker asks for the status with a bound on time. There is at most one question under way: while a daemon hangs,
// a scrape every few seconds must not add a goroutine each. The one that hangs ends when its answer comes.
type asker struct {
	ask func() api.Status

	mu    sync.Mutex
	under *question
}

// question is one call of ask; status may be read when done is closed.
type question struct {
	done   chan struct{}
	status api.Status
}

// status is the daemon's answer to a question that was put after the call, or to the one that has been under way.
func (a *asker) status(ctx context.Context) (api.Status, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errSilent)
	defer cancel()
	q := a.begin()
	select {
	case <-q.done:
		return q.status, nil
	case <-ctx.Done():
		return api.Status{}, context.Cause(ctx)
	}
}

func (a *asker) begin() *question {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.under != nil {
		return a.under
	}
	q := &question{done: make(chan struct{})}
	a.under = q
	go func() {
		q.status = a.ask()
		a.mu.Lock()
		a.under = nil
		a.mu.Unlock()
		close(q.done)
	}()
	return q
}
