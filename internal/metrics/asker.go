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

// facts are what the daemon says when it is asked.
type facts struct {
	status    api.Status
	receivers []Receiver
}

// asker asks for the facts with a bound on time. There is at most one question under way: while a daemon hangs,
// a scrape every few seconds must not add a goroutine each. The one that hangs ends when its answer comes.
type asker struct {
	ask func() facts

	mu    sync.Mutex
	under *question
}

// question is one call of ask; answer may be read when done is closed.
type question struct {
	done   chan struct{}
	answer facts
}

// facts is the daemon's answer to a question that was put after the call, or to the one that has been under way.
func (a *asker) facts(ctx context.Context) (facts, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errSilent)
	defer cancel()
	q := a.begin()
	select {
	case <-q.done:
		return q.answer, nil
	case <-ctx.Done():
		return facts{}, context.Cause(ctx)
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
		q.answer = a.ask()
		a.mu.Lock()
		a.under = nil
		a.mu.Unlock()
		close(q.done)
	}()
	return q
}
