package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/peer"
)

// decide asks package cluster, and has done what it says. While a change of the state is under way nothing else is done: it may be made already.
func (k *Keeper) decide(ctx context.Context) {
	if !k.known || !k.leading || k.swapping {
		return
	}
	d := cluster.Decide(k.c.Cluster, k.state, k.view, k.now())
	if d.Row != k.decision.Row || d.Next.Epoch != k.decision.Next.Epoch {
		k.tell(Event{Kind: Decided, Epoch: k.state.Epoch, Phase: k.state.Phase, Row: d.Row, Text: d.Reason})
	}
	k.decision = d
	if d.Changes {
		k.swap(ctx, d)
	} else {
		k.act(ctx, d)
	}
}

// actWithin is how long an answer to an action may take; most are only begun by then, and a probe tells when they are done.
const actWithin = 3 * time.Second

// sent is the newest action of a kind that a member was sent.
type sent struct {
	text string
	at   time.Duration
}

func (k *Keeper) act(ctx context.Context, d cluster.Decision) {
	for _, a := range d.Actions {
		if a.Verb == cluster.Close || a.Verb == cluster.Follow && k.state.Paused { // every probe tells the proxies the state's route
			continue
		}
		key, text := fmt.Sprint(a.Verb, " ", a.Member), a.String()
		if k.busy[key] || k.sent[key].text == text && k.now()-k.sent[key].at < owing {
			continue // the probes that follow an answer say whether it is to be asked again
		}
		k.busy[key], k.sent[key] = true, sent{text, k.now()}
		written, ok := k.recorded[text]
		if !ok {
			written = k.record(Entry{Row: d.Row, Reason: d.Reason, Epoch: a.Epoch, Phase: k.state.Phase, Action: text})
			k.recorded[text] = written
			k.tell(Event{Kind: Acted, Epoch: a.Epoch, Phase: k.state.Phase, Row: d.Row, Text: text})
		}
		k.send(ctx, a, key, written)
	}
}

func (k *Keeper) send(ctx context.Context, a cluster.Action, key string, written record) {
	i := slices.IndexFunc(k.c.Cluster.Peers, func(p cluster.Peer) bool { return p.Name == a.Member })
	if i < 0 {
		delete(k.busy, key)
		k.failed(a.Member, string(a.Verb), errors.New("it is not in the file any more"))
		return
	}
	waits := k.unhurried()
	k.short.Go(func() {
		if waits {
			written.wait(ctx)
		}
		within, stop := context.WithTimeout(ctx, actWithin)
		err := k.c.Members[a.Member].Act(within, a)
		stop()
		k.post(ctx, func() {
			delete(k.busy, key)
			k.failed(a.Member, string(a.Verb), err)
			k.passage.mark(fmt.Sprintf("%s %s %s", a.Verb, a.Member, answered(err)), k.now())
			if err == nil && k.state.Phase != cluster.Serving {
				k.probeMember(ctx, i)
			}
		})
	})
}

// answered says whether an action was answered well.
func answered(err error) string {
	switch {
	case err == nil:
		return "answered"
	case errors.Is(err, peer.ErrRefused):
		return "refused"
	default:
		return "failed"
	}
}
