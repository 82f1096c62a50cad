// Package router leads clients to the primary of a cluster that somebody else manages: Patroni, repmgr, an operator, a person. It
// asks the members who they are and tells the proxies of this process; it promotes nobody, stops nobody and fences nobody.
//
// It promises that clients are never led to two members at a time, nor to one on an older timeline than any member is known to
// be on, and that a session to a primary that is one no more is cut, not left to find out. What it can't promise: that the old primary takes no
// writes from elsewhere, or acknowledged none that the new one lacks. That is the manager's.
package router

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/backstaydb/backstay/internal/backoff"
	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/proxy"
	"github.com/backstaydb/backstay/internal/route"
)

// Member is a server that clients may be led to.
type Member struct {
	Name     string
	Priority int // the higher is taken first where nothing says who is primary
	Looker   engine.Looker
}

// Config of a Router.
type Config struct {
	Cluster string
	Members []Member // in the file's order
	Table   *proxy.Table
	After   time.Duration // silence on every path for so long is death; zero means 1s
	Told    func(Change)  // hears of each change of the primary, on the router's goroutine; may be nil
	Log     *slog.Logger
}

// Change is a primary in the place of another one, or of none.
type Change struct {
	From, To string // "" is none
	Epoch    uint64
	Reason   string
}

// lasts is how long a route counts that nobody renews, in looks: if this goroutine stands still, so do the proxies.
const lasts = 20

// Router keeps one table's route. Use New.
type Router struct {
	c     Config
	every time.Duration

	mu     sync.Mutex
	seen   []Seen // in the order of Members
	course course
	choice Choice
	route  route.Route
}

// New makes a router; Run does the work.
func New(c Config) *Router {
	c.After = cmp.Or(c.After, time.Second)
	if c.Told == nil {
		c.Told = func(Change) {}
	}
	r := &Router{c: c, every: max(c.After/4, 20*time.Millisecond), choice: Choice{Reason: "no member has answered yet"}}
	for _, m := range c.Members {
		r.seen = append(r.seen, Seen{Name: m.Name, Address: m.Looker.Address(), Priority: m.Priority, Asked: Never})
	}
	return r
}

// Run looks at all members and renews the route until ctx ends. Then the route is closed.
func (r *Router) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	news := make(chan struct{}, 1)
	for i := range r.c.Members {
		g.Go(func() error { return r.watch(ctx, i, news) })
	}
	g.Go(func() error {
		tick := time.NewTicker(r.every)
		defer tick.Stop()
		for {
			r.step()
			select {
			case <-tick.C:
			case <-news:
			case <-ctx.Done():
				r.close()
				return ctx.Err()
			}
		}
	})
	return g.Wait()
}

// watch looks at one member until ctx ends.
func (r *Router) watch(ctx context.Context, i int, news chan<- struct{}) error {
	m := r.c.Members[i]
	defer m.Looker.Close()
	for ctx.Err() == nil {
		asked := time.Duration(proxy.Now())
		look, cancel := context.WithTimeout(ctx, r.c.After)
		sight, err := m.Looker.Look(look)
		cancel()
		r.note(i, asked, sight, err)
		select {
		case news <- struct{}{}:
		default:
		}
		_ = backoff.Sleep(ctx, r.every) // the loop sees the end of ctx
	}
	return ctx.Err()
}

// note keeps an answer.
func (r *Router) note(i int, asked time.Duration, sight engine.Sight, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.seen[i]
	if err != nil {
		s.Err = err.Error()
		return
	}
	s.Asked, s.Sight, s.Err = asked, sight, ""
	if s.Name == r.choice.Primary && sight.Role == engine.RolePrimary {
		r.course.note(asked, sight.Position)
	}
}

// step decides and tells.
func (r *Router) step() {
	now := proxy.Now()
	heard := Never
	if ask := r.c.Table.Ask(route.ID{}); ask.Heard >= 0 && ask.Tried < r.c.After {
		heard = time.Duration(now) - ask.Heard
	}
	r.mu.Lock()
	was := r.choice
	r.choice = choose(was, r.seen, heard, time.Duration(now), r.c.After)
	next := r.next(was)
	changed := was.Primary != r.choice.Primary
	if changed {
		r.course = course{}
	}
	r.route = next
	change := Change{From: was.Primary, To: r.choice.Primary, Epoch: next.Epoch, Reason: r.choice.Reason}
	r.mu.Unlock()
	if err := r.c.Table.Apply(now, next); err != nil {
		r.c.Log.Error("the proxies took no route", "cluster", r.c.Cluster, "err", err) // not reached: epochs and versions only grow here
	}
	if changed {
		r.c.Told(change)
	}
}

// next is the route after a choice. The caller holds the lock.
func (r *Router) next(was Choice) route.Route {
	n := route.Route{Cluster: r.c.Cluster, Epoch: r.route.Epoch, Version: r.route.Version, State: route.Closed, Replicas: r.replicas()}
	if p := find(r.seen, r.choice.Primary); p != nil {
		n.State, n.Primary, n.Address, n.For = route.Serving, p.Name, p.Address, lasts*r.every
		if was.Primary != p.Name {
			n.Epoch++
		}
	}
	if n.Epoch != r.route.Epoch || n.State != r.route.State || !slices.Equal(n.Replicas, r.route.Replicas) {
		n.Version++
	}
	r.route = n
	return n
}

// replicas are the members that reads may be sent to. What changes all the time is told in coarse steps: each change is brought to
// all sessions.
func (r *Router) replicas() []route.Replica {
	var all []route.Replica
	for i := range r.seen {
		s := &r.seen[i]
		if s.Name == r.choice.Primary || s.Sight.Role == engine.RoleAny || s.Asked == Never {
			continue
		}
		out := route.Replica{Member: s.Name, Address: s.Address, Unknown: true}
		if age, bytes, ok := r.lag(s); ok {
			out.Lag, out.Bytes, out.Unknown = age.Truncate(250*time.Millisecond), bytes>>20<<20, false
		}
		all = append(all, out)
	}
	return all
}

// lag is how far a replica is behind; false: nobody knows, or it must not be read from. The caller holds the lock.
func (r *Router) lag(s *Seen) (age time.Duration, bytes uint64, ok bool) {
	switch {
	case s.Sight.Role != engine.RoleReplica, s.Err != "", r.choice.SystemID != "" && s.Sight.SystemID != r.choice.SystemID:
		return 0, 0, false
	case s.Sight.Exact && s.Sight.Position.Timeline < r.choice.Timeline:
		return 0, 0, false // it follows nobody who is on the primary's history
	case s.Sight.Position.Seq > 0:
		return r.course.lag(s.Sight.Position.Seq)
	default:
		return s.Sight.Lag, 0, s.Sight.Lag >= 0 && s.Sight.Broken == ""
	}
}

// close ends the route for good.
func (r *Router) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.route
	last.Version++
	last.State, last.For, last.Primary, last.Address = route.Closed, 0, "", ""
	if err := r.c.Table.Apply(proxy.Now(), last); err != nil {
		r.c.Log.Error("the proxies took no route", "cluster", r.c.Cluster, "err", err)
	}
}

// Status is how the members of a cluster do.
type Status struct {
	Choice
	Epoch   uint64
	Members []MemberStatus // in the file's order
}

// MemberStatus is how one member does.
type MemberStatus struct {
	Seen
	Answered time.Duration // age of its newest answer; negative: none came yet
	Lag      time.Duration // of a replica; negative: nobody knows
	Bytes    uint64        // that it lacks
}

// Status tells from memory.
func (r *Router) Status() Status {
	now := time.Duration(proxy.Now())
	r.mu.Lock()
	defer r.mu.Unlock()
	out := Status{Choice: r.choice, Epoch: r.route.Epoch}
	for i := range r.seen {
		m := MemberStatus{Seen: r.seen[i], Answered: -1, Lag: -1}
		if m.Asked != Never {
			m.Answered = now - m.Asked
		}
		if age, bytes, ok := r.lag(&r.seen[i]); ok {
			m.Lag, m.Bytes = age, bytes
		}
		out.Members = append(out.Members, m)
	}
	return out
}

// Reachable are the members that answered last, the primary first: whom to ask for what all of them know.
func (r *Router) Reachable() []engine.Looker {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []engine.Looker
	for i := range r.seen {
		switch {
		case r.seen[i].Err != "" || r.seen[i].Asked == Never:
		case r.seen[i].Name == r.choice.Primary:
			all = slices.Insert(all, 0, r.c.Members[i].Looker)
		default:
			all = append(all, r.c.Members[i].Looker)
		}
	}
	return all
}

// Once looks at every member one time, and tells no proxy.
func (r *Router) Once(ctx context.Context) {
	var all sync.WaitGroup
	for i, m := range r.c.Members {
		all.Go(func() {
			defer m.Looker.Close()
			asked := time.Duration(proxy.Now())
			sight, err := m.Looker.Look(ctx)
			r.note(i, asked, sight, err)
		})
	}
	all.Wait()
	now := time.Duration(proxy.Now())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.choice = choose(Choice{}, r.seen, Never, now, time.Hour)
	if p := find(r.seen, r.choice.Primary); p != nil {
		r.course.note(p.Asked, p.Sight.Position)
	}
}
