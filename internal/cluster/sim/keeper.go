package sim

import (
	"math"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/route"
)

// keeper looks, decides and acts. It keeps nothing across a crash: state is in the store, facts are looked up again.
type keeper struct {
	proc
	w        *World
	number   int
	leading  bool
	known    bool
	state    cluster.State
	revision uint64
	view     cluster.View
	swapping time.Duration // since when a swap is under way
	row      string
}

func (k *keeper) clock() time.Duration { return k.w.local(k.host) }

func (k *keeper) boot() {
	k.known, k.leading = false, false
	k.tick()
}

// tick looks at everything. Leadership is a hint: it saves work, and nothing rests on it.
func (k *keeper) tick() {
	wait := 150 * ms
	if k.w.leads(k) {
		if !k.leading {
			k.begin()
		}
		k.read()
		k.probe()
		k.decide()
		if k.state.Phase != cluster.Serving {
			wait = 50 * ms
		}
	} else {
		k.leading = false
	}
	k.w.after(wait, &k.proc, k.tick)
}

func (k *keeper) begin() {
	now := k.clock()
	k.leading, k.known = true, false
	k.view = cluster.View{Since: now, Began: now, BeatSeen: now}
	for _, p := range k.w.cfg.Peers {
		k.view.Facts = append(k.view.Facts, cluster.Fact{Name: p.Name, Answered: cluster.Never, Heard: cluster.Never, Vouched: cluster.Never, Stalled: cluster.Never, Short: cluster.Never, Streamed: cluster.Never})
	}
	k.view.Proxies = nil
}

func (k *keeper) read() {
	k.w.swap(&k.proc, func(s cluster.State, _ uint64) (cluster.State, bool) { return s, false },
		func(s cluster.State, revision uint64, _ bool) { k.learn(s, revision) })
}

func (k *keeper) learn(s cluster.State, revision uint64) {
	if k.known && revision <= k.revision {
		return
	}
	now := k.clock()
	if !k.known || s.Epoch != k.state.Epoch || s.Phase != k.state.Phase {
		k.view.Since = now
	}
	if !k.known || s.Beat != k.state.Beat {
		k.view.BeatSeen = now
	}
	if s.Request != nil && (!k.known || k.state.Request == nil || *s.Request != *k.state.Request) {
		k.view.Asked = now
	}
	k.known, k.state, k.revision = true, s, revision
}

func (k *keeper) send(to *proc, run func()) {
	if !k.w.mute[to.host] {
		k.w.send(&k.proc, to, run)
	}
}

func (k *keeper) probe() {
	for i, a := range k.w.agents {
		asked, life := k.clock(), k.life
		k.send(&a.proc, func() {
			f, old := a.fact()
			k.w.answer(&a.proc, &k.proc, life, func() { k.note(i, f, asked, old) })
		})
	}
	if !k.known {
		return
	}
	r := k.state.Route(k.w.cfg, 0)
	for _, p := range k.w.proxies {
		asked, life := k.clock(), k.life
		k.send(&p.proc, func() {
			fact, heard := p.told(r)
			k.w.answer(&p.proc, &k.proc, life, func() {
				fact.Answered, fact.Heard = asked, asked-heard
				k.noteProxy(fact)
			})
		})
	}
}

// note keeps the newest answer of a member. Ages count from the question: what happened is no older than told and no younger.
func (k *keeper) note(i int, f cluster.Fact, asked time.Duration, old ages) {
	if !k.leading || k.view.Facts[i].Answered > asked {
		return
	}
	f.Answered, f.Heard, f.Stalled = asked, asked-old.heard, cluster.Never
	f.Vouched = k.clock() - old.vouched // the latest that it can have been
	if old.stalled >= 0 {
		f.Stalled = asked - old.stalled
	}
	if f.Short = cluster.Never; old.short >= 0 {
		f.Short = asked - old.short
	}
	news := f.Promised != k.view.Facts[i].Promised || f.Role != k.view.Facts[i].Role
	k.view.Note(f)
	if news && k.state.Phase != cluster.Serving {
		k.decide()
	}
}

func (k *keeper) noteProxy(p cluster.Proxy) {
	for i := range k.view.Proxies {
		if have := &k.view.Proxies[i]; have.ID == p.ID {
			if have.Answered <= p.Answered {
				*have = p
			}
			return
		}
	}
	k.view.Proxies = append(k.view.Proxies, p)
}

func (k *keeper) decide() {
	now := k.clock()
	if !k.known || !k.leading || k.swapping > 0 && now-k.swapping < 300*ms {
		return
	}
	if at := k.w.number(k.state.Primary); at >= 0 {
		k.view.Stored = k.w.repository.newest(k.view.Facts[at].Received.Timeline)
	}
	cfg, state, view := k.w.lied(k.state, k.view)
	d := cluster.Decide(cfg, state, view, now)
	if d.Row != k.row {
		k.row = d.Row
		k.w.tell("keeper %d: epoch %d %s: %s: %s", k.number, k.state.Epoch, k.state.Phase, d.Row, d.Reason)
	}
	k.w.stats.Rows[d.Row]++
	if !d.Changes {
		k.act(d.Actions)
		return
	}
	d.Next.Quorums, d.Next.Proxies = k.honest(d.Next)
	k.swapping = now
	from, next := k.revision, d.Next
	k.w.swap(&k.proc, func(s cluster.State, revision uint64) (cluster.State, bool) {
		if revision != from && !k.w.has("compare") {
			return s, false
		}
		return next, true
	}, func(s cluster.State, revision uint64, _ bool) {
		k.swapping = 0
		k.learn(s, revision)
		k.probe()
		k.decide()
	})
}

func (k *keeper) act(actions []cluster.Action) {
	for _, act := range actions {
		if act.Verb == cluster.Close {
			continue // every probe carries the route of the state
		}
		a := k.w.agents[k.w.number(act.Member)]
		from := k.w.number(act.From)
		k.send(&a.proc, func() {
			switch act.Verb {
			case cluster.Prepare:
				a.w.after(time.Duration(a.w.rng.IntN(200))*ms, &a.proc, func() { a.prepared = true })
			case cluster.Fence:
				a.fence(act.Epoch)
			case cluster.Follow:
				a.follow(act.Epoch, from)
			case cluster.Promote:
				a.promote(act.Epoch, act.Upto, act.Timeline, act.Quorum)
			case cluster.Count:
				a.count(act.Epoch, act.Quorum)
			case cluster.Fill:
				if act.From == cluster.Repository {
					a.fetch(act.Epoch)
					break
				}
				a.fill(act.Epoch, k.w.agents[from])
			}
		})
	}
}

// lied is what Decide is shown: the truth, or, with a planted bug, what makes one of its conditions hold too early.
func (w *World) lied(s cluster.State, v cluster.View) (cluster.Config, cluster.State, cluster.View) {
	cfg := w.cfg
	switch w.opt.Bug {
	case "":
	case "routes":
		s.Proxies = nil
	case "tenure":
		cfg.Lease /= 4
	case "grace":
		cfg.StopGrace = 0
	case "witnesses":
		if p := w.number(s.Primary); s.Phase != cluster.Fencing && (p < 0 || w.agents[p].up) {
			break // only what counts promises is lied to, not what tells the server whom to count
		}
		s.Quorums = append([]cluster.Quorum(nil), s.Quorums...)
		for i := range s.Quorums {
			s.Quorums[i].K = min(s.Quorums[i].K+1, len(s.Quorums[i].Names))
		}
	case "vouched", "settled", "blank":
		v.Facts = append([]cluster.Fact(nil), v.Facts...)
		for i := range v.Facts {
			f := &v.Facts[i]
			switch w.opt.Bug {
			case "vouched":
				f.Vouched = cluster.Never
			case "settled":
				f.Counting, f.Switched = last(s.Quorums), history.Position{}
				for _, p := range cfg.Peers {
					f.Streams = append(f.Streams[:len(f.Streams):len(f.Streams)], cluster.Stream{Name: p.Name})
				}
			case "blank":
				f.Blank = false
			}
		}
	case "joint":
		if len(s.Quorums) > 1 {
			s.Quorums = s.Quorums[len(s.Quorums)-1:]
		}
	}
	return cfg, s, v
}

func last(q []cluster.Quorum) cluster.Quorum {
	if len(q) == 0 {
		return cluster.Quorum{}
	}
	return q[len(q)-1]
}

func (w *World) has(bug string) bool { return w.opt.Bug == bug }

func (w *World) number(name string) int {
	for i := range w.cfg.Peers {
		if w.cfg.Peers[i].Name == name {
			return i
		}
	}
	return -1
}

// leads hints who should act. Sometimes two do, and sometimes nobody for a while.
func (w *World) leads(k *keeper) bool {
	return w.lead == k.number || w.lead == math.MaxInt
}

// honest takes a lie back before it is recorded: the bug is in judging, not in the record.
func (k *keeper) honest(next cluster.State) ([]cluster.Quorum, []route.ID) {
	if k.w.opt.Bug == "" {
		return next.Quorums, next.Proxies
	}
	quorums := append([]cluster.Quorum(nil), next.Quorums...)
	for i := range quorums {
		for _, q := range k.state.Quorums {
			if q.Step == quorums[i].Step {
				quorums[i] = q
			}
		}
	}
	if k.w.has("routes") && next.Phase != cluster.Promoting {
		return quorums, k.state.Proxies
	}
	return quorums, next.Proxies
}
