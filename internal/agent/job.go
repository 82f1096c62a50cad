package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/peer"
)

// job is something that the agent does to its server, beside answering questions. There is one at a time.
type job struct {
	name   string
	epoch  uint64
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // valid once done is closed
}

// What the agent begins by itself.
const (
	again  = "start again"
	rejoin = "rejoin"
)

// answering is how long a command waits for its job: what takes longer is seen by probes.
const answering = 200 * time.Millisecond

// pause is how long the agent waits before it does by itself again what failed.
const pause = 2 * time.Second

var errOvertaken = errors.New("a newer epoch came")

func busy(j *job) error {
	return peer.Refuse(fmt.Sprintf("busy: %s of epoch %d runs", j.name, j.epoch))
}

// begin starts a job. Called with the lock, and with no job running.
func (a *Agent) begin(name string, epoch uint64, do func(context.Context) error) *job {
	parent := a.ctx
	if parent == nil {
		parent = context.Background() // asked before Run, which tests do
	}
	ctx, cancel := context.WithCancelCause(parent)
	j := &job{name: name, epoch: epoch, cancel: cancel, done: make(chan struct{})}
	a.job = j
	a.jobs.Add(1)
	go func() {
		defer a.jobs.Done()
		defer cancel(nil)
		j.err = do(ctx)
		a.mu.Lock()
		if a.job == j {
			a.job = nil
		}
		if j.err != nil {
			a.failed[name] = a.now() + pause
		}
		a.mu.Unlock()
		if j.err != nil && !errors.Is(j.err, peer.ErrRefused) && context.Cause(ctx) == nil {
			a.tell(epoch, "failed", name+" failed: "+j.err.Error(), j.err)
		}
		close(j.done)
	}()
	return j
}

// order begins the job of a command, or finds it running, and waits for it briefly. What runs for a lower epoch is broken off
// first, anything else is waited for, for a moment.
func (a *Agent) order(ctx context.Context, name string, epoch uint64, do func(context.Context) error) error {
	j, err := a.place(ctx, name, epoch, do)
	if err != nil {
		return err
	}
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
		return nil
	case <-time.After(answering):
		return nil
	}
}

func (a *Agent) place(ctx context.Context, name string, epoch uint64, do func(context.Context) error) (*job, error) {
	late := time.After(patience)
	for {
		a.mu.Lock()
		j := a.job
		if j == nil {
			j = a.begin(name, epoch, do)
			a.mu.Unlock()
			return j, nil
		}
		a.mu.Unlock()
		switch {
		case j.name == name && j.epoch == epoch, j.name == rejoin && name == string(cluster.Follow) && j.epoch == epoch:
			return j, nil
		case j.epoch < epoch:
			j.cancel(errOvertaken)
		}
		select {
		case <-j.done:
		case <-ctx.Done():
			return nil, busy(j)
		case <-late:
			return nil, busy(j)
		}
	}
}
