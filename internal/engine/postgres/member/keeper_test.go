package member_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/peer"
)

// keeper looks, decides and acts as the simulated one does, in this process and with no audit.
type keeper struct {
	cfg     cluster.Config
	store   lease.Store
	members map[string]peer.Member
	log     func(string, ...any)

	mu      sync.Mutex
	request *cluster.Request
	state   cluster.State
	row     string
}

func (k *keeper) now() time.Duration { return time.Since(began) }

var began = time.Now().Add(-time.Hour)

// run works until ctx ends.
func (k *keeper) run(ctx context.Context) {
	v := cluster.View{Since: k.now(), Began: k.now(), BeatSeen: k.now()}
	for _, p := range k.cfg.Peers {
		v.Facts = append(v.Facts, cluster.Fact{Name: p.Name, Answered: cluster.Never, Heard: cluster.Never, Vouched: cluster.Never, Stalled: cluster.Never, Short: cluster.Never})
	}
	var last lease.Entry
	for ctx.Err() == nil {
		e, err := k.store.Get(ctx, key)
		if err != nil {
			return
		}
		var s cluster.State
		if e.Revision > 0 {
			if err := json.Unmarshal(e.Value, &s); err != nil {
				panic(err)
			}
		}
		k.learn(&v, s, last)
		last = e
		k.probe(ctx, &v)
		if k.step(ctx, e, s, v) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(40 * time.Millisecond):
		}
	}
}

func (k *keeper) learn(v *cluster.View, s cluster.State, last lease.Entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if last.Revision > 0 && (s.Epoch != k.state.Epoch || s.Phase != k.state.Phase) {
		v.Since = k.now()
	}
	if s.Beat != k.state.Beat {
		v.BeatSeen = k.now()
	}
	k.state = s
}

func (k *keeper) probe(ctx context.Context, v *cluster.View) {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for i := range v.Facts {
		all.Add(1)
		go func() {
			defer all.Done()
			asked := k.now()
			if r, err := k.members[v.Facts[i].Name].Probe(ctx); err == nil {
				v.Facts[i] = r.Seen(asked, k.now())
			}
		}()
	}
	all.Wait()
}

// step reports whether the state was changed.
func (k *keeper) step(ctx context.Context, e lease.Entry, s cluster.State, v cluster.View) bool {
	k.mu.Lock()
	asked := k.request
	if asked != nil && s.Phase == cluster.Serving {
		s.Request = asked
	}
	k.mu.Unlock()
	d := cluster.Decide(k.cfg, s, v, k.now())
	if d.Row != k.row {
		k.log("epoch %d %s: %s: %s", s.Epoch, s.Phase, d.Row, d.Reason)
		k.row = d.Row
	}
	if d.Changes {
		b, err := json.Marshal(d.Next)
		if err != nil {
			panic(err)
		}
		if _, err = k.store.Swap(ctx, key, e.Revision, b); err != nil {
			return true // a beat came between
		}
		k.mu.Lock()
		if k.request == asked {
			k.request = nil
		}
		k.mu.Unlock()
		return true
	}
	for _, a := range d.Actions {
		if a.Verb == cluster.Close {
			continue
		}
		go func() {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if err := k.members[a.Member].Act(ctx, a); err != nil && !errors.Is(err, peer.ErrRefused) && ctx.Err() == nil {
				k.log("%s: %v", a, err)
			}
		}()
	}
	return false
}

func (k *keeper) ask(r cluster.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.request = &r
}

// asks reports whether a request was not taken up yet.
func (k *keeper) asks() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.request != nil
}

func (k *keeper) now1() cluster.State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// until waits for a state.
func (k *keeper) until(t *testing.T, what string, is func(cluster.State) bool) cluster.State {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if s := k.now1(); is(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not come to: %s; %+v, members %v", what, k.now1(), slices.Collect(maps.Keys(k.members)))
		}
	}
}
