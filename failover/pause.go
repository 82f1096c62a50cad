package failover

import (
	"context"
	"math/rand/v2"
	"time"
)

// pause grows from one try to the next and is never twice the same, so that clients that were cut off together do not
// come back together.
type pause struct{ next, most time.Duration }

func (p *pause) wait(ctx context.Context) error {
	d := p.next/2 + rand.N(p.next)
	p.next = min(2*p.next, p.most)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
