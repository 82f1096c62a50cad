package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/peer"
)

// Act implements peer.Member. It returns when the action is done, or after a moment while it goes on: the next probe tells.
func (a *Agent) Act(ctx context.Context, act cluster.Action) error {
	if act.Member != a.c.Member {
		return peer.Refuse(fmt.Sprintf("%s is asked to do what %s shall", a.c.Member, act.Member))
	}
	do := map[cluster.Verb]func(context.Context, cluster.Action) error{
		cluster.Fence: a.fence, cluster.Follow: a.follow, cluster.Promote: a.promote, cluster.Count: a.count, cluster.Fill: a.fill, cluster.Prepare: a.prepare,
	}[act.Verb]
	if do == nil {
		return peer.Refuse(fmt.Sprintf("%s knows no action %q", a.c.Member, act.Verb))
	}
	if err := a.able(act.Epoch); err != nil {
		return err
	}
	return a.order(ctx, string(act.Verb), act.Epoch, func(ctx context.Context) error { return do(ctx, act) })
}

// able says why nothing of epoch is done, or nil.
func (a *Agent) able(epoch uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.lost:
		return peer.Refuse(a.c.Member + " does not know any more what it promised, and has not read the state yet")
	case epoch < a.kept.Promised:
		return peer.Refuse(fmt.Sprintf("epoch %d: %s promised %d", epoch, a.c.Member, a.kept.Promised))
	case a.stalled():
		return peer.Refuse(a.c.Member + " has a disk that takes no writes")
	}
	return nil
}

// promise is on the disk when it returns nil. A tenure of a lower epoch is over then.
func (a *Agent) promise(epoch uint64) error {
	if err := a.able(epoch); err != nil {
		return err
	}
	a.mu.Lock()
	old := a.kept.Promised
	a.mu.Unlock()
	if epoch > old {
		if err := a.keep(func(k *kept) { k.Promised = max(k.Promised, epoch) }); err != nil {
			return err
		}
		a.tell(epoch, "promised", fmt.Sprintf("%s promised epoch %d", a.c.Member, epoch), nil)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if epoch > a.tenure.Epoch {
		a.tenure = a.tenure.End()
	}
	return nil
}

// look is what the server is, for a job. may is whether it may be primary, under led; one that can't be asked may be anything.
func (a *Agent) look(ctx context.Context) (s Sight, may bool, led uint64, err error) {
	asked := a.now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err = a.c.Server.Look(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	may = err != nil && a.mayLead || err == nil && s.Role == cluster.Primary
	if err == nil && asked >= a.seen {
		a.sight, a.seen = s, asked
	}
	return s, may, a.kept.Led, err
}

// leads refuses what would end the primary of epoch or of a later one.
func (a *Agent) leads(epoch uint64, may bool, led uint64) error {
	if may && led >= epoch && led > 0 {
		return peer.Refuse(fmt.Sprintf("%s is primary of epoch %d", a.c.Member, led))
	}
	return nil
}

func (a *Agent) fence(ctx context.Context, act cluster.Action) error {
	a.mu.Lock()
	leads := a.mayLead && a.kept.Led < act.Epoch
	a.mu.Unlock()
	if leads { // whatever a look would say
		if err := a.stop(ctx); err != nil {
			return err
		}
		return a.promise(act.Epoch)
	}
	s, may, led, err := a.look(ctx)
	if refused := a.leads(act.Epoch, may, led); refused != nil {
		return refused
	}
	a.mu.Lock()
	promised, rising := a.kept.Promised, a.kept.Rising
	a.mu.Unlock()
	switch {
	case err != nil || may || rising || s.Role == cluster.Stopped: // one that starts may acknowledge before it can be asked
		err = a.stop(ctx)
	case act.Epoch > promised:
		err = a.c.Server.Detach(ctx)
	}
	if err != nil {
		return err
	}
	return a.promise(act.Epoch)
}

// prepared is for how long a primary counts as prepared.
const prepared = 10 * time.Second

// prepare writes a checkpoint. A command of a newer epoch breaks it off.
func (a *Agent) prepare(ctx context.Context, act cluster.Action) error {
	_, may, led, err := a.look(ctx)
	if err != nil {
		return err
	}
	if !may || led != act.Epoch {
		return peer.Refuse(fmt.Sprintf("%s is not primary of epoch %d", a.c.Member, act.Epoch))
	}
	a.mu.Lock()
	done := a.now()-a.prepared < prepared
	a.mu.Unlock()
	if done {
		return nil
	}
	if err := a.c.Server.Flush(ctx); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.prepared = a.now()
	return nil
}

func (a *Agent) follow(ctx context.Context, act cluster.Action) error {
	s, may, led, err := a.look(ctx)
	if refused := a.leads(act.Epoch, may, led); refused != nil {
		return refused
	}
	a.mu.Lock()
	promised, rising := a.kept.Promised, a.kept.Rising // a promotion that was begun can't be taken back
	a.mu.Unlock()
	follows := err == nil && !may && !rising && s.Role == cluster.Standby && s.Following == act.From
	if follows && act.Epoch > promised { // it may have been told otherwise, and not have heard it yet
		if err := a.c.Server.Follow(ctx, act.From); err != nil {
			return err
		}
	}
	if err := a.promise(act.Epoch); err != nil {
		return err
	}
	if may || rising || err != nil {
		if err := a.stop(ctx); err != nil {
			return err
		}
	}
	if follows || s.Empty { // reunite gives it data
		return nil
	}
	return a.c.Server.Follow(ctx, act.From)
}

func (a *Agent) promote(ctx context.Context, act cluster.Action) error {
	s, may, led, err := a.look(ctx)
	a.mu.Lock()
	blank := !a.kept.Whole.IsZero()
	a.mu.Unlock()
	switch {
	case err != nil:
		return err
	case may && led == act.Epoch:
		return a.count(ctx, act)
	case may && led > 0:
		return peer.Refuse(fmt.Sprintf("%s is primary of epoch %d, and was not fenced", a.c.Member, led))
	case s.Empty || blank || s.Received.Before(act.Upto):
		return peer.Refuse(fmt.Sprintf("%s has %s, and was appointed with %s", a.c.Member, s.Received.Plain(), act.Upto.Plain()))
	}
	beaten := make(chan struct{}) // the tenure comes from the coordination, the promise from the disk: neither waits for the other
	go func() {
		defer close(beaten)
		a.beat(ctx, act.Epoch)
	}()
	err = a.promise(act.Epoch)
	<-beaten
	if err != nil {
		return err
	}
	if a.unguarded() {
		return peer.Refuse(a.c.Member + " counts as guarded, and no guard runs")
	}
	if !a.holds(act.Epoch) {
		return peer.Refuse(fmt.Sprintf("%s has no tenure of epoch %d yet", a.c.Member, act.Epoch))
	}
	if s.Role == cluster.Stopped {
		if err := a.c.Server.Start(ctx, cluster.Standby); err != nil {
			return err
		}
	}
	if s.Streaming {
		if err := a.c.Server.Detach(ctx); err != nil {
			return err
		}
	}
	return a.lead(ctx, act)
}

// unguarded reports whether this member counts as guarded, and no guard runs.
func (a *Agent) unguarded() bool { return a.self().Guard && a.c.Guarded != nil && !a.c.Guarded() }

// holds reports whether this member may lead epoch now.
func (a *Agent) holds(epoch uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept.Promised == epoch && a.tenure.Epoch == epoch && a.tenure.Left(a.now()) > 0 && !a.stalled() && !a.lost
}

// lead makes the server primary, or takes on one that is primary and was under no epoch yet. That it may be is known, to the guard too,
// before it is.
func (a *Agent) lead(ctx context.Context, act cluster.Action) error {
	begun := a.now()
	if err := a.keep(func(k *kept) {
		k.Led, k.Rising, k.Counting, k.Told, k.Switched = act.Epoch, true, act.Quorum, false, history.Position{}
	}); err != nil {
		return err
	}
	a.mayBePrimary()
	l := Lead{Timeline: act.Timeline, Quorum: act.Quorum, Up: a.answer}
	for _, p := range a.c.Cluster.Peers {
		if p.Name != a.c.Member {
			l.Others = append(l.Others, p.Name)
		}
	}
	err := a.c.Server.Lead(ctx, l, func() bool { return a.holds(act.Epoch) })
	a.mayBePrimary()
	if err != nil {
		return err
	}
	a.tell(act.Epoch, "promoted", fmt.Sprintf("%s is primary of epoch %d on timeline %d after %s", a.c.Member, act.Epoch, act.Timeline, (a.now()-begun).Round(time.Millisecond)), nil)
	return a.tellQuorum(ctx, act.Quorum)
}

// mayBePrimary has the server stopped at the deadline from now on. A look that began before says nothing about it.
func (a *Agent) mayBePrimary() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mayLead, a.madeAt = true, a.now()
	a.arm()
}

func (a *Agent) count(ctx context.Context, act cluster.Action) error {
	_, may, led, err := a.look(ctx)
	if err != nil {
		return err
	}
	if !may || led != act.Epoch {
		return peer.Refuse(fmt.Sprintf("%s is not primary of epoch %d", a.c.Member, act.Epoch))
	}
	a.mu.Lock()
	have, told := a.kept.Counting, a.kept.Told
	a.mu.Unlock()
	q := act.Quorum
	if q.Step < have.Step || q.Is(have) && told {
		return nil // late, or done
	}
	return a.tellQuorum(ctx, q)
}

// tellQuorum tells the server whom a commit waits for. In between it counts nothing for certain, so that a late answer settles nothing.
func (a *Agent) tellQuorum(ctx context.Context, q cluster.Quorum) error {
	if err := a.keep(func(k *kept) { k.Rising, k.Counting, k.Told = false, q, false }); err != nil {
		return err
	}
	at, err := a.c.Server.Count(ctx, q)
	if err != nil {
		return err
	}
	if err := a.keep(func(k *kept) { k.Told, k.Switched = true, at }); err != nil {
		return err
	}
	a.tell(q.Epoch, "counting", fmt.Sprintf("%s waits for %d of %v from %s on", a.c.Member, q.K, q.Names, at.Plain()), nil)
	return nil
}

// filling bounds one try to fetch what a candidate lacks.
const filling = 30 * time.Second

// fill follows a member that has promised too until the log comes as far as it must.
func (a *Agent) fill(ctx context.Context, act cluster.Action) error {
	ctx, cancel := context.WithTimeout(ctx, filling)
	defer cancel()
	s, may, _, err := a.look(ctx)
	a.mu.Lock()
	promised := a.kept.Promised
	a.mu.Unlock()
	switch {
	case err != nil:
		return err
	case promised != act.Epoch || may || s.Empty:
		return peer.Refuse(fmt.Sprintf("%s, a %s that promised epoch %d, takes no log for epoch %d", a.c.Member, s.Role, promised, act.Epoch))
	case !s.Received.Before(act.Upto):
		return nil
	}
	if err := a.c.Server.Follow(ctx, act.From); err != nil {
		return err
	}
	for s.Received.Before(act.Upto) && err == nil {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(20 * time.Millisecond):
			s, _, _, err = a.look(ctx)
		}
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopping)
	defer cancel()
	if derr := a.c.Server.Detach(after); err == nil {
		err = derr
	}
	return err
}
