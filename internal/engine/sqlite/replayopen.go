package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/backstaydb/backstay/internal/engine"
)

// openAhead is how many older segments are being opened while one is applied. Opening one reads all of it, to compare it with
// its digest, which takes longer than to apply it; what is open and not yet read holds its index and little else.
const openAhead = 2

// opener opens segments from one back to the first, some of them ahead of who takes them.
type opener struct {
	log    engine.Log
	coming chan chan opening
	cancel context.CancelFunc
}

// opening is what became of one.
type opening struct {
	segment engine.LogSegment
	err     error
}

// openBack begins with segment number newest. It is to be closed.
func openBack(ctx context.Context, log engine.Log, newest int) *opener {
	ctx, cancel := context.WithCancel(ctx)
	o := &opener{log: log, coming: make(chan chan opening, openAhead), cancel: cancel}
	go o.run(ctx, newest)
	return o
}

func (o *opener) run(ctx context.Context, newest int) {
	defer close(o.coming)
	for i := newest; i >= 0; i-- {
		next := make(chan opening, 1)
		select {
		case o.coming <- next:
		case <-ctx.Done():
			return
		}
		go func() {
			s, err := o.log.Open(ctx, i)
			if err != nil {
				err = fmt.Errorf("open segment %s: %w", o.log.Segments()[i].Name, err)
			}
			next <- opening{s, err}
		}()
	}
}

// older gives the next segment; whoever takes it closes it.
func (o *opener) older(ctx context.Context) (engine.LogSegment, error) {
	next, ok := <-o.coming
	if !ok {
		return nil, errors.Join(context.Cause(ctx), errors.New("no older segment"))
	}
	got := <-next
	return got.segment, got.err
}

// close gives up what was not taken.
func (o *opener) close() (err error) {
	o.cancel()
	for next := range o.coming {
		if got := <-next; got.err == nil {
			err = errors.Join(err, got.segment.Close())
		}
	}
	return err
}
