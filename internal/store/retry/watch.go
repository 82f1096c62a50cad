package retry

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// watched ends the context of one call when the store has been silent for too long. The time in which the caller, not
// the store, keeps things waiting does not count: around it stand pause and resume.
type watched struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func watch(ctx context.Context, silence time.Duration) (context.Context, *watched) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watched{ctx: ctx, cancel: cancel}
	w.timer = time.AfterFunc(silence, func() { cancel(fmt.Errorf("%w for %v", ErrSilent, silence)) })
	return ctx, w
}

func (w *watched) pause()                       { w.timer.Stop() }
func (w *watched) resume(silence time.Duration) { w.timer.Reset(silence) }

func (w *watched) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// explain says that a call ended because of us, where the store only tells that its context did.
func (w *watched) explain(err error) error {
	if cause := context.Cause(w.ctx); err != nil && errors.Is(cause, ErrSilent) && !errors.Is(err, ErrSilent) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}
