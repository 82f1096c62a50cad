package archive

import (
	"context"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
)

// How often a source that is connected is asked what should be changed there: somebody changes settings while we run. The first time is
// when the source knows what we are to it.
const (
	adviceFirst = 5 * time.Second
	adviceEvery = 30 * time.Second
)

// attend keeps the advice on a connected source true, until ctx ends.
func (a *Archive) attend(ctx context.Context, source engine.Source) {
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
