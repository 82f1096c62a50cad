package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	err    error         // valid once done is closed
	worth  chan struct{} // closed when a probe would tell more, though it is not done
	once   sync.Once
}

// What the agent begins by itself.
const (
	again  = "start again"
	rejoin = "rejoin"
)

// answering is how long a command waits for its job: what takes longer is seen by probes.
const answering = 200 * time.Millisecond

// How long the agent waits before it does by itself again what failed: twice as long each time.
const (
	pause   = 2 * time.Second
	maxWait = time.Minute
)

var (
	errOvertaken = errors.New("a newer epoch came")
	errEnding    = errors.New("the agent ends")
)

// setback is since when, and how often in a row, a job failed.
type setback struct {
	wait  time.Duration
	again time.Duration // not before
}

func busy(j *job) error {
	return peer.Refuse(fmt.Sprintf("busy: %s of epoch %d runs", j.name, j.epoch))
}

// may reports whether the agent may begin a job by itself now. Called with the lock.
func (a *Agent) may(name string) bool {
	return a.job == nil && !a.ended && a.now() >= a.failed[name].again
}

// begin starts a job. Called with the lock, and with no job running.
func (a *Agent) begin(name string, epoch uint64, do func(context.Context) error) *job {
	parent := a.ctx
	if parent == nil {
		parent = context.Background() // asked before Run, which tests do
	}
	ctx, cancel := context.WithCancelCause(parent)
	j := &job{name: name, epoch: epoch, cancel: cancel, done: make(chan struct{}), worth: make(chan struct{})}
	if a.ended {
		j.err = errEnding
		cancel(errEnding)
		close(j.done)
		return j
	}
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
			wait := min(max(2*a.failed[name].wait, pause), maxWait)
			a.failed[name] = setback{wait, a.now() + wait}
		} else {
			delete(a.failed, name)
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
	case <-j.worth:
		return nil
	case <-ctx.Done():
		return nil
	case <-time.After(answering):
		return nil
	}
}

// answer has the command of the job that runs answered before it is done.
func (a *Agent) answer() {
	a.mu.Lock()
	j := a.job
	a.mu.Unlock()
	if j != nil {
		j.once.Do(func() { close(j.worth) })
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
		case j.epoch < epoch, j.name == string(cluster.Fill) && j.epoch == epoch: // who gives another order has decided without it
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
