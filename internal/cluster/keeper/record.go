package keeper

import (
	"context"
	"errors"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

// Entry is what is kept of a decision: a change of the state, or one action under it.
type Entry struct {
	Cluster string
	Epoch   uint64
	Phase   cluster.Phase // of the state that the change makes, or that the action is done under
	Row     string        // of cluster's table
	Reason  string        // one sentence for people
	Change  bool          // of the state; else Action was sent
	Action  string        // for people
}

// Kind of an event.
type Kind string

const (
	Decided Kind = "decided" // another row of the table holds; Text is why
	Changed Kind = "changed" // the state was changed; Text is why
	Acted   Kind = "acted"   // an action was sent for the first time; Text names it
	Failed  Kind = "failed"  // something did not answer or refused, told once until it works again; Err says
	Leading Kind = "leading" // this host began or ceased to be the one that acts
	Passed  Kind = "passed"  // the cluster serves again; Text says how long each phase took that led there
)

// Event is for notices, metrics and the log.
type Event struct {
	Cluster string
	Kind    Kind
	Epoch   uint64
	Phase   cluster.Phase
	Row     string
	Whom    string // Failed: a member, a proxy as "proxy host", "coordination", "repository", "audit log", "state"
	Text    string // one sentence, or what was tried
	Risk    string // Changed: what the newest promotion left open, as in the state
	Err     error
}

func (k *Keeper) tell(e Event) {
	if k.c.Tell != nil {
		e.Cluster = k.c.Cluster.Cluster
		k.c.Tell(e)
	}
}

// complaint is what something last failed with.
type complaint struct {
	text string
	told time.Duration
}

// failed tells that something failed, when it begins to, and when it fails for another reason, but not often; nothing when it works again.
func (k *Keeper) failed(whom, what string, err error) {
	key := whom + " " + what
	have, failing := k.complain[key]
	switch {
	case err == nil:
		delete(k.complain, key)
	case errors.Is(err, context.Canceled):
	case !failing || have.text != err.Error() && k.now()-have.told > 10*time.Second:
		k.complain[key] = complaint{err.Error(), k.now()}
		k.tell(Event{Kind: Failed, Epoch: k.state.Epoch, Phase: k.state.Phase, Whom: whom, Text: what, Err: err})
	}
}

// auditWithin is how long a decision waits for the audit log while there is a primary: a disk that hangs must not keep a cluster down. While clients
// wait nothing waits for it: the state, which is durable first, says what was decided and why.
const auditWithin = 200 * time.Millisecond

// record is an entry on its way into the audit log.
type record struct {
	entry Entry
	done  chan struct{}
	late  time.Time // when nobody waits for it any more
}

func (r record) wait(ctx context.Context) {
	late := time.NewTimer(time.Until(r.late))
	defer late.Stop()
	select {
	case <-r.done:
	case <-late.C:
	case <-ctx.Done():
	}
}

// unhurried: no client waits for what comes next.
func (k *Keeper) unhurried() bool {
	return k.state.Phase == cluster.Serving || k.state.Phase == cluster.Forming || k.state.Phase == ""
}

func (k *Keeper) record(e Entry) record {
	e.Cluster = k.c.Cluster.Cluster
	r := record{e, make(chan struct{}), time.Now().Add(auditWithin)}
	select {
	case k.audit <- r:
	default: // it has hung for long, and failed tells so
		close(r.done)
	}
	return r
}

// writeAudit writes entries in their order.
func (k *Keeper) writeAudit(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case r := <-k.audit:
			if k.c.Audit != nil {
				err := k.c.Audit.Record(ctx, r.entry)
				close(r.done)
				k.post(ctx, func() { k.failed("audit log", "record a decision", err) })
				continue
			}
			close(r.done)
		}
	}
}
