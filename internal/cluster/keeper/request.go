package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/lease"
)

// Ask writes a person's request into the state, as cluster.State.Asked has it. Whichever keeper leads carries it out or refuses it; Outcome waits for that.
func Ask(ctx context.Context, store lease.Store, key string, r cluster.Request) (cluster.State, error) {
	s, err := Change(ctx, store, key, func(s *cluster.State) (err error) {
		*s, err = s.Asked(r)
		return err
	})
	if err != nil {
		return s, fmt.Errorf("ask for a %s: %w", r.Kind, err)
	}
	return s, nil
}

// Pause turns failover by itself off or on.
func Pause(ctx context.Context, store lease.Store, key string, paused bool) error {
	_, err := Change(ctx, store, key, func(s *cluster.State) error {
		s.Paused = paused
		return nil
	})
	if err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	return nil
}

// RefusedError is what became of a request that was not carried out.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// Outcome waits until what Ask wrote is over, given the state that Ask returned, and tells each state on the way. It returns the state
// in which the cluster serves again; a *RefusedError where the request was refused or called off.
func Outcome(ctx context.Context, store lease.Store, key string, asked cluster.State, tell func(cluster.State)) (cluster.State, error) {
	last := asked
	var broken error
	watching, stop := context.WithCancel(ctx)
	defer stop()
	for {
		err := store.Watch(watching, key, 0, func(e lease.Entry) {
			s, err := decode(e)
			if err != nil {
				broken = err
				stop()
				return
			}
			if tell != nil && s.Step != last.Step {
				tell(s)
			}
			if last = s; over(s) {
				stop()
			}
		})
		switch {
		case broken != nil:
			return last, fmt.Errorf("wait for the outcome: %w", broken)
		case over(last) && last.Epoch == asked.Epoch && asked.Phase == cluster.Serving: // else the ballot had begun
			return last, &RefusedError{last.Reason}
		case over(last):
			return last, nil
		case ctx.Err() != nil:
			return last, fmt.Errorf("wait for the outcome: the cluster is %s: %s: %w", last.Phase, last.Reason, context.Cause(ctx))
		case errors.Is(err, context.Canceled):
			return last, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(serving):
		}
	}
}

func over(s cluster.State) bool { return s.Request == nil && s.Phase == cluster.Serving }
