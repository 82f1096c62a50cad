package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/engine"
)

// How often a source that is connected is asked what should be changed there: somebody changes settings while we run. The first time is
// when the source knows what we are to it.
const (
	adviceFirst = 5 * time.Second
	adviceEvery = 30 * time.Second
)

// advise keeps the advice on a connected source true, until ctx ends.
func (a *Archive) advise(ctx context.Context, source engine.Source) {
	asked, ok := source.(engine.Adviser)
	if !ok {
		return
	}
	for wait := adviceFirst; ; wait = adviceEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		limited, end := context.WithTimeout(ctx, adviceEvery)
		advice, err := asked.Advise(limited)
		end()
		if err != nil { // what fails for long is seen by who follows
			a.c.Log.Debug("ask for advice", "source", a.c.Source, "err", err)
			continue
		}
		a.mu.Lock()
		a.identity.Advice = advice
		a.mu.Unlock()
	}
}

// errLetGo is why a base is given up whose log the source need not keep any longer.
var errLetGo = errors.New("the source was told to let go of log that the base needs")

// heldError says that a source kept more log for us than it may, while nothing of it was taken.
type heldError struct {
	bytes, limit int64
}

func (e *heldError) Error() string {
	return fmt.Sprintf("the source kept %d bytes of log for us, more than %d, and nothing of it was taken here: it is told to let go of it", e.bytes, e.limit)
}

// Hint says what helps.
func (e *heldError) Hint() string {
	return "see why the repositories take nothing; a base that log has to wait for needs a held_limit above what is written meanwhile"
}

// watchTaken looks after what a connected source keeps for us while nothing is taken from it: a shipment waits for a repository, or a base
// that begins a line is copied. It gives up the session when that is more than it may be; the slot can be dropped only then.
func (a *Archive) watchTaken(ctx context.Context, source engine.Source, give context.CancelCauseFunc) {
	held := a.watchHeld()
	held.give = give
	defer held.stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-held.tick.C:
		}
		if a.c.Now().Sub(a.lastTaken()) < watchEvery {
			held.forget()
			continue
		}
		r, ok := source.(engine.Remainer)
		if !ok || r.Remains() == "" {
			continue
		}
		held.look(ctx)
	}
}

// took notes that a shipment is where it must be.
func (a *Archive) took() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken = a.c.Now()
}

func (a *Archive) lastTaken() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.taken
}

// letGo has the source let go of the log that it keeps, and waits until the spool's is where it must be: before that no more could be taken.
func (a *Archive) letGo(ctx context.Context, e *heldError) {
	failures := a.source.fail(e, a.c.Now())
	if failures == 1 {
		a.emit(Event{Kind: SourceDown, Text: "the source is not followed until a repository takes what waits", Err: e})
	}
	held := a.watchHeld()
	defer held.stop()
	held.look(ctx)
	_ = backoff.Sleep(ctx, a.c.delay(failures))
	for ctx.Err() == nil && a.c.Ack == AckRepository {
		wait, end := context.WithTimeout(ctx, watchEvery)
		err := a.waitAcked(wait, a.sp.Bookmark().Position)
		late := wait.Err() != nil
		end()
		if err == nil || !late {
			return // or it never comes, which the next session finds out
		}
		held.look(ctx) // it could not be told
	}
}
