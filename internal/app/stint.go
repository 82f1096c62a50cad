package app

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
)

// stint is the time for which a part of the daemon runs in its group. It can end by itself, as when a reload removes the part. newStint
// makes one.
type stint struct {
	end   context.CancelFunc // nil before it runs
	ended chan struct{}      // closed when it has let go of everything
}

func newStint() stint { return stint{ended: make(chan struct{})} }

// begin has run work in g until ctx ends, or until stop.
func (s *stint) begin(ctx context.Context, g *errgroup.Group, run func(context.Context) error) {
	own, end := context.WithCancel(ctx)
	s.end = end
	g.Go(func() error {
		defer close(s.ended)
		defer end()
		err := run(own)
		if errors.Is(err, context.Canceled) && ctx.Err() == nil {
			return nil // it was removed
		}
		return err
	})
}

// began reports whether it ever ran.
func (s *stint) began() bool { return s.end != nil }

// stop ends what has begun, and waits for that.
func (s *stint) stop() {
	s.end()
	<-s.ended
}
