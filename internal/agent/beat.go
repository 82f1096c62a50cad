package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/route"
)

const (
	// impatience is how long a beat may wait for its answer before the other members are asked.
	impatience = 250 * time.Millisecond
	// stalls is how long a write may wait before the disk counts as one that takes none: a busy disk takes a while too.
	stalls = 500 * time.Millisecond
	// hung is how long a server may answer nothing before its agent speaks for it no more. Clients that wait show it sooner, through
	// the proxies; a server that is merely overloaded must not be stopped for it.
	hung = 5 * time.Second
)

// round renews the tenure: by a beat, and by the others' word while that does not come back.
func (a *Agent) round(ctx context.Context) {
	a.mu.Lock()
	epoch := a.state.Epoch
	a.mu.Unlock()
	if len(a.beating) == 0 {
		done := make(chan struct{})
		a.jobs.Add(1)
		go func() {
			defer a.jobs.Done()
			defer close(done)
			a.beat(ctx, epoch)
		}()
		select {
		case <-done:
		case <-time.After(impatience):
		}
	}
	a.mu.Lock()
	unanswered := a.unanswered
	a.mu.Unlock()
	if unanswered {
		a.askOthers(ctx)
	}
}

// beat counts up the state's beat where this member holds epoch; else it only reads. It waits for one that is under way.
func (a *Agent) beat(ctx context.Context, epoch uint64) {
	select {
	case a.beating <- struct{}{}:
		defer func() { <-a.beating }()
	case <-ctx.Done():
		return
	}
	a.mu.Lock()
	a.unanswered = true
	reached, able := a.sight.Received, !a.stalled() && !a.lost && a.now()-max(a.seen, a.booted) < hung
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, max(a.c.Cluster.Lease/2, 2*impatience))
	defer cancel()
	sent, renewed, err := a.swap(ctx, func(s cluster.State) (cluster.State, bool) {
		if !able {
			return s, false
		}
		return s.Renewed(a.c.Member, epoch, reached, a.lives(s.Proxies))
	})
	if err != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unanswered = false
	if renewed {
		for _, id := range a.state.Proxies {
			delete(a.dropped, id)
		}
		a.renew(epoch, sent)
	}
}

// listen takes in each change of the state as it is made, until that is not told any more: beats alone would have proxies wait for up to a
// round before a new primary's agent knows that it serves. Nothing rests on it.
func (a *Agent) listen(ctx context.Context) {
	a.mu.Lock()
	from := a.entry.Revision
	a.mu.Unlock()
	_ = a.c.Store.Watch(ctx, a.c.Key, from, func(e lease.Entry) { // beats tell of a coordination that is away
		// What is told may be of a while ago: a lost oath is not taken from it.
		if s, err := decode(e); err == nil && !a.isLost() {
			_ = a.learn(ctx, e, s) // it fails only with a lost oath
			a.claim(ctx)
			a.hurry(ctx)
		}
	})
}

// claim has the tenure of an epoch that was given to this member begin before its keeper says that it shall lead.
func (a *Agent) claim(ctx context.Context) {
	a.mu.Lock()
	epoch := a.state.Epoch
	wants := a.state.Holder() == a.c.Member && a.kept.Promised == epoch && a.tenure.Epoch != epoch && len(a.beating) == 0 && !a.ended
	if wants {
		a.jobs.Add(1)
	}
	a.mu.Unlock()
	if wants {
		go func() {
			defer a.jobs.Done()
			a.beat(ctx, epoch)
		}()
	}
}

// hurry has a standby ask its primary at once when that begins to serve: it found nobody there a moment ago, and commits wait for it.
func (a *Agent) hurry(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state.Phase != cluster.Serving || a.state.Epoch == a.hurried || a.state.Primary == a.c.Member || a.ended {
		return
	}
	a.hurried = a.state.Epoch
	a.jobs.Add(1)
	go func() {
		defer a.jobs.Done()
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		_ = a.c.Server.Hurry(ctx) // it asks by itself a moment later
	}()
}

// catchUp reads the state.
func (a *Agent) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, a.c.Cluster.Lease/3)
	defer cancel()
	e, err := a.c.Store.Get(ctx, a.c.Key)
	if err != nil {
		return // what is known is gone by
	}
	if s, err := decode(e); err == nil {
		_ = a.learn(ctx, e, s) // one that is lost gives nothing
	}
}

// lives are those of recorded that may still have a route, and those that are to be given one.
func (a *Agent) lives(recorded []route.ID) []route.ID {
	a.mu.Lock()
	defer a.mu.Unlock()
	gone := 4 * a.c.Cluster.Lease // no clock is so wrong that a route of one lease lasts longer
	now := a.now()
	var out []route.ID
	for _, id := range recorded {
		// What an earlier life of this agent gave is not known, but over by then. Those that an appointment names are about to ask.
		last := max(a.booted, a.appointed, a.asked[id])
		if now-last < gone {
			out = append(out, id)
		} else {
			a.dropped[id] = true
			delete(a.asked, id)
		}
	}
	for _, id := range a.want {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// swap changes the state, and takes in what it then is. sent is when the question went out that changed it.
func (a *Agent) swap(ctx context.Context, change func(cluster.State) (cluster.State, bool)) (sent time.Duration, changed bool, err error) {
	a.mu.Lock()
	e, fresh := a.entry, false
	a.mu.Unlock()
	for tries := 0; tries < 5; tries++ {
		if !fresh && (tries > 0 || e.Revision == 0) {
			if e, err = a.c.Store.Get(ctx, a.c.Key); err != nil {
				return 0, false, err
			}
			fresh = true
		}
		s, err := decode(e)
		if err != nil {
			return 0, false, err
		}
		if fresh {
			if err := a.learn(ctx, e, s); err != nil {
				return 0, false, err
			}
		}
		next, ok := change(s)
		if !ok {
			if fresh {
				return 0, false, nil
			}
			continue // what was known is old: a refusal needs the newest
		}
		sent = a.now()
		value, err := json.Marshal(next)
		if err != nil {
			return 0, false, err
		}
		now, err := a.c.Store.Swap(ctx, a.c.Key, e.Revision, value)
		if err == nil {
			now.Value = value
			return sent, true, a.learn(ctx, now, next)
		}
		if !errors.Is(err, lease.ErrStale) {
			return 0, false, err
		}
		fresh = false
	}
	return 0, false, lease.ErrStale
}

func decode(e lease.Entry) (s cluster.State, err error) {
	if e.Revision == 0 {
		return s, nil
	}
	if err := json.Unmarshal(e.Value, &s); err != nil {
		return s, fmt.Errorf("read the cluster's state: %w", err)
	}
	return s, nil
}

// learn takes in a state that was read, unless a newer one was.
func (a *Agent) learn(ctx context.Context, e lease.Entry, s cluster.State) error {
	if a.isLost() {
		if err := a.swear(ctx, s); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known && e.Revision < a.entry.Revision {
		return nil
	}
	if mine := a.c.Member; s.Holder() == mine && (a.state.Holder() != mine || a.state.Epoch != s.Epoch) {
		a.appointed = a.now()
	}
	a.known, a.entry, a.state = true, e, s
	a.want = slices.DeleteFunc(a.want, func(id route.ID) bool { return slices.Contains(s.Proxies, id) })
	if s.Epoch > a.tenure.Epoch {
		a.tenure = a.tenure.End()
	}
	return nil
}

// renew extends the tenure from when the question was sent, and starts a server again that was stopped when it was over. Called with the lock.
func (a *Agent) renew(epoch uint64, sent time.Duration) {
	if a.kept.Promised > epoch || a.state.Epoch > epoch || a.lost {
		return
	}
	a.tenure = a.tenure.Renew(epoch, sent, a.c.Cluster.Lease)
	a.arm()
	mine := a.state.Holder() == a.c.Member && a.state.Phase != cluster.Promoting && a.kept.Led == epoch
	if mine && a.seen > max(a.madeAt, a.booted-1) && a.sight.Role != cluster.Primary && !a.stalled() && a.may(again) {
		a.begin(again, epoch, func(ctx context.Context) error { return a.startAgain(ctx, epoch) })
	}
}

// arm has the server stopped when the tenure is over. Called with the lock.
func (a *Agent) arm() {
	a.stopBy = a.tenure
	a.show()
}

// show shows the guard until when the server may lead, and that of one which leads nothing that somebody minds it now: a tenure that was ended was over
// long ago, and a deserted guard ends. Called with the lock.
func (a *Agent) show() {
	until := a.now()
	if a.mayLead {
		until += a.stopBy.Left(until)
	}
	a.c.Deadline.Write(until, a.mayLead)
}

// askOthers renews the tenure without coordination: when every other member's agent says that it knows no newer epoch.
func (a *Agent) askOthers(ctx context.Context) {
	a.mu.Lock()
	epoch, sent := a.state.Epoch, a.now()
	mine := a.known && a.state.Holder() == a.c.Member && a.tenure.Epoch == epoch && !a.stalled() && !a.lost && a.now()-max(a.seen, a.booted) < hung
	a.mu.Unlock()
	if !mine || a.c.Voucher == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, a.c.Cluster.Lease/3)
	defer cancel()
	answers, asked := make(chan bool), 0
	for _, p := range a.c.Cluster.Peers {
		if p.Name == a.c.Member || p.Receiver {
			continue // a receiver promises nothing that ends a tenure
		}
		v := a.c.Voucher(p.Name)
		if v == nil {
			return
		}
		asked++
		go func() {
			ok, err := v.Vouch(ctx, epoch)
			answers <- ok && err == nil
		}()
	}
	all := true
	for range asked {
		all = <-answers && all
	}
	if all && asked > 0 {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.renew(epoch, sent)
	}
}

// stalled reports whether the server's disk takes nothing. Called with the lock.
func (a *Agent) stalled() bool { return a.sight.Stalled >= stalls }
