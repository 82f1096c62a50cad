package agent

import (
	"context"

	"github.com/backstaydb/backstay/internal/cluster"
)

// swear takes the state's epoch for what was promised, where the oath is lost. A promise says that nothing is acknowledged for a lower epoch any
// more; the server, which is as it was, may be with the primary of one, and a ballot would count it as evidence against that. So it lets go
// first.
func (a *Agent) swear(ctx context.Context, s cluster.State) error {
	if err := a.letGo(ctx, s); err != nil {
		return err
	}
	if err := a.keep(func(k *kept) { k.Promised = max(k.Promised, s.Epoch) }); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost = false
	return nil
}

// letGo has the server acknowledge nothing to anybody but the holder of the state's epoch. No job runs meanwhile: whoever lost the oath begins none.
func (a *Agent) letGo(ctx context.Context, s cluster.State) error {
	if s.Epoch == 0 || s.Holder() == a.c.Member { // nobody ever led, or this one does: what it promised it holds
		return nil
	}
	asking, stop := context.WithTimeout(ctx, patience)
	sight, err := a.c.Server.Look(asking)
	stop()
	settled := s.Phase == cluster.Serving || s.Phase == cluster.Draining
	switch {
	case err != nil, sight.Role == cluster.Stopped && !sight.Empty: // one that starts may acknowledge before it can be asked
		return a.c.Server.Retire(ctx)
	case sight.Role == cluster.Standby && settled && sight.Following == s.Primary: // it may have been told otherwise, and not have heard it yet
		return a.c.Server.Follow(ctx, s.Primary)
	case sight.Role == cluster.Standby:
		return a.c.Server.Detach(ctx)
	}
	return nil // a primary's promise counts for nothing while it runs, and it is stopped as one that the state does not know
}

func (a *Agent) isLost() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lost
}
