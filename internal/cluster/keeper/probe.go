package keeper

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/route"
)

// probe asks every member what it is, and tells every proxy the state's route.
func (k *Keeper) probe(ctx context.Context) { k.probeThose(ctx, func(string) bool { return true }) }

const (
	// owing is for how long nobody is asked again who has not answered yet: a server that is asked more often than it can answer tells less.
	owing = 100 * time.Millisecond
	// sparing is for how long no member is asked again: each time costs its server queries, while all wait for it to do something else. A member that
	// has done what it was told is asked at once.
	sparing = 50 * time.Millisecond
)

// glance is probe for those who owe no answer.
func (k *Keeper) glance(ctx context.Context) {
	k.probeThose(ctx, func(whom string) bool {
		since := k.now() - k.asked[whom]
		if k.asking[whom] > 0 {
			return since >= owing
		}
		return since >= sparing || k.c.Members[whom] == nil
	})
}

func (k *Keeper) probeThose(ctx context.Context, want func(whom string) bool) {
	for i := range k.c.Cluster.Peers {
		if want(k.c.Cluster.Peers[i].Name) {
			k.probeMember(ctx, i)
		}
	}
	if !k.known {
		return
	}
	r := k.state.Route(k.c.Cluster, 0)
	for _, host := range names(k.c.Proxies) {
		if want("proxy " + host) {
			k.tellProxy(ctx, host, r)
		}
	}
}

func (k *Keeper) probeMember(ctx context.Context, i int) {
	name, within, asked := k.c.Cluster.Peers[i].Name, k.c.Cluster.After, k.now()
	k.ask(ctx, name, atOnce, within, func(limit context.Context) func() {
		r, err := k.c.Members[name].Probe(limit)
		now := k.now()
		switch {
		case err == nil && r.Name != name:
			err = fmt.Errorf("who answers there is %q", r.Name)
		case err == nil && now-asked > within:
			err = context.DeadlineExceeded
		}
		return func() {
			k.failed(name, "probe", err)
			if err == nil {
				k.note(ctx, i, r.Seen(asked, now))
			}
		}
	})
}

// note keeps the newest answer of a member.
func (k *Keeper) note(ctx context.Context, i int, f cluster.Fact) {
	have := &k.view.Facts[i]
	if have.Answered > f.Answered {
		return
	}
	news := f.Promised != have.Promised || f.Role != have.Role || f.Epoch != have.Epoch
	if f.Promised != have.Promised {
		k.passage.mark(f.Name+" promised", k.now())
	}
	if f.Role != have.Role {
		k.passage.mark(fmt.Sprintf("%s is %s", f.Name, f.Role), k.now())
	}
	k.view.Note(f)
	if news || k.state.Phase == cluster.Draining || k.state.Request != nil {
		k.decide(ctx)
	}
}

func (k *Keeper) tellProxy(ctx context.Context, host string, r route.Route) {
	asked, within := k.now(), k.c.Cluster.After
	k.ask(ctx, "proxy "+host, atOnce, within, func(limit context.Context) func() {
		ack, heard, err := k.c.Proxies[host].Tell(limit, r)
		late := k.now()-asked > within
		return func() {
			k.failed("proxy "+host, "tell the route", err)
			if err == nil && !late {
				k.noteProxy(ctx, proxyOf(ack, heard, asked))
			}
		}
	})
}

// proxyOf is what an answer says on the clock of who asked.
func proxyOf(a route.Ack, heard, asked time.Duration) cluster.Proxy {
	p := cluster.Proxy{ID: a.Proxy, Answered: asked, Heard: cluster.Never, Epoch: a.Epoch, Ready: a.Ready}
	if heard >= 0 {
		p.Heard = asked - heard
	}
	if a.Closed {
		p.Closed = a.Epoch
	}
	if a.Drained {
		p.Drained = a.Version
	}
	return p
}

// noteProxy keeps the newest answer of each life of a proxy. What one has closed it never opens again.
func (k *Keeper) noteProxy(ctx context.Context, p cluster.Proxy) {
	i := slices.IndexFunc(k.view.Proxies, func(have cluster.Proxy) bool { return have.ID == p.ID })
	if i < 0 {
		k.forget()
		k.view.Proxies = append(k.view.Proxies, p)
		return
	}
	have := &k.view.Proxies[i]
	p.Closed = max(p.Closed, have.Closed)
	if have.Answered > p.Answered {
		have.Closed = p.Closed
		return
	}
	news := p.Closed != have.Closed || p.Drained != have.Drained || p.Ready != have.Ready
	if p.Closed != have.Closed {
		k.passage.mark(p.ID.Name+" closed", k.now())
	}
	if p.Drained != have.Drained {
		k.passage.mark(p.ID.Name+" drained", k.now())
	}
	settled := p.Drained != have.Drained && k.state.Phase == cluster.Draining
	*have = p
	if settled { // what was under way is in the log now: whether the next primary has it is asked at once
		k.probeThose(ctx, func(whom string) bool {
			return whom == k.state.Primary || k.state.Request != nil && whom == k.state.Request.To
		})
	}
	if news && (k.state.Phase != cluster.Serving || k.state.Request != nil) {
		k.decide(ctx)
	}
}

// forget drops lives that are over: silent for long, and in no route.
func (k *Keeper) forget() {
	k.view.Proxies = slices.DeleteFunc(slices.Clone(k.view.Proxies), func(p cluster.Proxy) bool {
		return k.now()-p.Answered > time.Minute && !slices.Contains(k.state.Proxies, p.ID)
	})
}

// lookAtRepository asks it every second how far the log is safe there.
func (k *Keeper) lookAtRepository(ctx context.Context) error {
	timeline := make(chan uint32, 1)
	for {
		k.post(ctx, func() { timeline <- k.timeline() })
		var of uint32
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case of = <-timeline:
		}
		within, stop := context.WithTimeout(ctx, 10*time.Second)
		at, err := k.c.Repository.Newest(within, of)
		stop()
		k.post(ctx, func() {
			k.failed("repository", "ask how far the log is safe", err)
			if err == nil {
				k.view.Stored = at
			}
		})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// timeline is the one that the last primary wrote.
func (k *Keeper) timeline() uint32 {
	for i := range k.view.Facts {
		if f := &k.view.Facts[i]; f.Name == k.state.Primary && f.Answered != cluster.Never {
			return f.Received.Timeline
		}
	}
	return max(k.state.Reached.Timeline, k.state.Start.Timeline)
}
