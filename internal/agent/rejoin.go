package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
)

// wake is the agent's own job that lets a stopped member that leads nothing run as a standby, so that its log can be asked for.
const wake = "wake"

// astray is for how long a standby is not with its primary before it is asked whether their logs have parted.
const astray = 300 * time.Millisecond

// startAgain starts the primary of an epoch whose tenure came back.
func (a *Agent) startAgain(ctx context.Context, epoch uint64) error {
	if !a.holds(epoch) {
		return nil
	}
	a.mayBePrimary()
	err := a.c.Server.Start(ctx, cluster.Primary)
	a.mayBePrimary()
	if err == nil {
		a.tell(epoch, "started", fmt.Sprintf("%s has tenure of epoch %d again, its server was started", a.c.Member, epoch), nil)
	}
	return err
}

// reunite wakes a server that does not run, and brings a standby back whose log parted from its primary's, or that has no data. It discards
// nothing but on the word of the state: it is serving, this member promised its epoch, and the log that counts is its primary's.
func (a *Agent) reunite(s Sight) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.known || a.lost || a.job != nil || a.mayLead || a.stalled() || a.state.Holder() == a.c.Member || s.Role == cluster.Primary {
		return
	}
	epoch := a.kept.Promised
	if s.Role == cluster.Stopped && !s.Empty {
		// A primary that was stopped for another one could only wait before that one serves, and its start may take the disk's time from it, on the same
		// machine. While it is fenced its log may be needed.
		since := a.now() - a.stoppedAt
		early := a.state.Phase == cluster.Promoting && since < 2*time.Second || a.state.Phase == cluster.Serving && since < time.Second
		if epoch > 0 && a.may(wake) && !early {
			a.begin(wake, epoch, func(ctx context.Context) error { return a.c.Server.Start(ctx, cluster.Standby) })
		}
		return
	}
	serving := a.state.Phase == cluster.Serving || a.state.Phase == cluster.Draining
	if !serving || epoch != a.state.Epoch || s.Streaming || !s.Parted && !s.Empty {
		a.parted = cluster.Never
		return
	}
	if a.parted == cluster.Never {
		a.parted = a.now()
	}
	if a.now()-a.parted < astray || !a.may(rejoin) {
		return
	}
	primary, timeline := a.state.Primary, a.state.Timeline
	a.begin(rejoin, epoch, func(ctx context.Context) error { return a.rejoin(ctx, primary, timeline, epoch) })
}

func (a *Agent) rejoin(ctx context.Context, primary string, timeline uint32, epoch uint64) error {
	begun := a.now()
	a.tell(epoch, "rejoining", fmt.Sprintf("%s is brought back to %s: their logs have parted, or it has no data", a.c.Member, primary), nil)
	err := a.c.Server.Rejoin(ctx, primary, timeline, func(whole history.Position) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		return a.keep(func(k *kept) { k.Whole = whole })
	})
	if err != nil {
		return err
	}
	a.tell(epoch, "rejoined", fmt.Sprintf("%s follows %s again after %s", a.c.Member, primary, (a.now()-begun).Round(time.Millisecond)), nil)
	return nil
}
