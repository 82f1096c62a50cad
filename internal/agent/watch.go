package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
)

// patience is how long one look at a server may take: one that does not answer by then is silent.
const patience = 800 * time.Millisecond

// observe looks at the server for what goes on between probes, and sees to a standby that has lost its way.
func (a *Agent) observe(ctx context.Context) {
	asked := a.now()
	looking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := a.c.Server.Look(looking)
	if err != nil {
		a.mu.Lock()
		a.sight.Stalled = s.Stalled
		a.mu.Unlock()
		return
	}
	a.note(s, asked)
	a.sanction()
	a.complete(s)
	a.reunite(s)
}

// note takes in a sight.
func (a *Agent) note(s Sight, asked time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if asked < a.seen {
		return
	}
	a.sight, a.seen = s, asked
	if s.Role != cluster.Primary && a.job == nil && a.mayLead && asked > a.madeAt {
		a.mayLead = false
		a.arm()
	}
	if s.Role == cluster.Primary && a.kept.Led > 0 && !a.mayLead && asked > a.stoppedAt { // somebody else made it that
		a.mayLead = true
		a.arm()
	}
	switch {
	case s.Role != cluster.Primary || len(a.streams(s)) >= a.c.Cluster.Sync:
		a.short = cluster.Never
	case a.short == cluster.Never:
		a.short = asked
	}
}

// sanction stops a primary that the state knows nothing of, and takes on the one that the state has, whose oath was lost.
func (a *Agent) sanction() {
	a.mu.Lock()
	unknown := a.seen != cluster.Never && a.sight.Role == cluster.Primary && a.kept.Led == 0 && a.known && a.state.Epoch > 0 && !a.lost && a.job == nil
	mine := a.state.Holder() == a.c.Member
	settled, epoch, other := a.state.Phase != cluster.Promoting, a.state.Epoch, a.state.Primary != a.c.Member
	a.mu.Unlock()
	switch {
	case !unknown:
	case mine && settled:
		if err := a.keep(func(k *kept) { k.Led = max(k.Led, epoch) }); err != nil {
			return // the next look tries again
		}
		a.mu.Lock()
		a.mayLead = true
		a.arm()
		a.mu.Unlock()
	case other:
		a.halt("it is primary, and epoch " + fmt.Sprint(epoch) + " is another member's")
	}
}

// complete notes when a log that was not whole is.
func (a *Agent) complete(s Sight) {
	a.mu.Lock()
	whole := a.kept.Whole
	a.mu.Unlock()
	if whole.IsZero() || s.Empty || s.Role != cluster.Standby || s.Received.Before(whole) {
		return
	}
	if err := a.keep(func(k *kept) {
		if k.Whole.Equal(whole) {
			k.Whole = history.Position{}
		}
	}); err == nil {
		a.tell(0, "whole", a.c.Member+" has its log whole up to "+whole.Plain(), nil)
	}
}

// attend has the guard of a server that is no primary see that somebody minds it.
func (a *Agent) attend() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.mayLead {
		a.show()
	}
}

// watch stops a primary when its tenure is over.
func (a *Agent) watch(ctx context.Context) {
	a.attend()
	a.mu.Lock()
	over := a.mayLead && a.kept.Led > 0 && a.stopBy.Left(a.now()) <= 0
	epoch := a.kept.Led
	a.mu.Unlock()
	if over && ctx.Err() == nil {
		a.halt(fmt.Sprintf("the tenure of epoch %d is over", epoch))
	}
}

// halt stops the server beside whatever else is done to it. It returns at once where that is under way.
func (a *Agent) halt(why string) {
	if !a.halting.TryLock() {
		return
	}
	a.jobs.Add(1)
	go func() {
		defer a.jobs.Done()
		defer a.halting.Unlock()
		a.mu.Lock()
		j := a.job
		a.mu.Unlock()
		if j != nil {
			j.cancel(errOvertaken)
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopping)
		defer cancel()
		err := a.c.Server.Stop(ctx)
		a.mu.Lock()
		if err == nil && a.job == nil && a.mayLead { // a job may have started it meanwhile: then the next look at the deadline stops it
			a.mayLead, a.stoppedAt = false, a.now()
			a.arm()
		}
		a.mu.Unlock()
		a.tell(0, "stopped", "server of "+a.c.Member+" stopped: "+why, err)
	}()
}

// stopping bounds one try to stop a server: a process that waits for its disk ends only with that.
const stopping = 10 * time.Second

// stop is for jobs: no other job can start the server meanwhile, so that it leads nothing then, and follows nobody whoever starts it.
func (a *Agent) stop(ctx context.Context) error {
	if err := a.c.Server.Retire(ctx); err != nil {
		return err
	}
	a.mu.Lock()
	rising := a.kept.Rising
	a.mu.Unlock()
	if rising {
		if err := a.keep(func(k *kept) { k.Rising = false }); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mayLead, a.stoppedAt = false, a.now()
	a.arm()
	return nil
}
