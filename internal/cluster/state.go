package cluster

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/route"
)

// Phase is where a cluster stands in the table of transitions.
type Phase string

const (
	Forming   Phase = "forming"   // no primary was ever recorded
	Serving   Phase = "serving"   // Primary holds the epoch
	Draining  Phase = "draining"  // Primary holds the epoch and is about to hand over; transactions end, none begins
	Fencing   Phase = "fencing"   // nobody holds the epoch: who held it is made unable, members stop and tell their positions
	Promoting Phase = "promoting" // Primary holds the epoch and is being made primary
)

// State is what the coordination keeps of one cluster, changed by compare-and-swap only: whoever reads it knows all that the
// others may have done. The zero State is Forming.
type State struct {
	Epoch    uint64           `json:"epoch"`
	Phase    Phase            `json:"phase"`
	Step     uint64           `json:"step"`              // counts the changes that Decide made; orders the routes of an epoch
	Primary  string           `json:"primary,omitempty"` // holds the epoch; while Fencing who held it last
	Timeline uint32           `json:"timeline"`          // highest that was given out; a promotion takes the next one
	Start    history.Position `json:"start,omitzero"`    // end of the candidate's log when it was appointed: with less, its disk was changed, it must not be promoted
	Quorums  []Quorum         `json:"quorums,omitempty"` // every set that may have acknowledged what a new primary must have
	Beat     uint64           `json:"beat"`              // counted up by the holder of the epoch: its tenure runs from when it sent that
	Reached  history.Position `json:"reached,omitzero"`  // the primary's position at the last beat
	Proxies  []route.ID       `json:"proxies,omitempty"` // lives that the holder may have granted a route to
	Request  *Request         `json:"request,omitempty"`
	Paused   bool             `json:"paused,omitempty"` // no failover by itself; requests are carried out
	Row      string           `json:"row,omitempty"`    // of the table, that led here
	Reason   string           `json:"reason,omitempty"`
	Risk     string           `json:"risk,omitempty"` // what may be lost, or who may still write, since the last promotion; empty: nothing and nobody

	more map[string]json.RawMessage // what a newer release wrote
}

// Quorum says who must have flushed a write before Primary acknowledged it: K of Names. K = 0: nobody, replication is
// asynchronous. It is recorded before the server is told, so that the server never counts anybody that the record does not name.
type Quorum struct {
	Step    uint64   `json:"step"` // of the state when it was recorded: a set that comes back is another quorum
	Epoch   uint64   `json:"epoch"`
	Primary string   `json:"primary"`
	Names   []string `json:"names,omitempty"`
	K       int      `json:"k"`
}

// Witnesses is how many of Names must have promised a later epoch before it is certain that Primary acknowledges nothing more
// and that one of them has all that it ever acknowledged; zero: no number is enough.
func (q Quorum) Witnesses() int {
	if q.K <= 0 || q.K > len(q.Names) {
		return 0
	}
	return len(q.Names) - q.K + 1
}

// Is reports whether both are the same record.
func (q Quorum) Is(r Quorum) bool { return q.Step == r.Step && q.Epoch == r.Epoch && q.like(r) }

func (q Quorum) like(r Quorum) bool {
	return q.Primary == r.Primary && q.K == r.K && slices.Equal(q.Names, r.Names)
}

// Kind of a request.
type Kind string

const (
	Switchover Kind = "switchover" // planned: nothing is lost and no session is broken, or it does not happen
	Failover   Kind = "failover"   // a person says that the primary is gone
)

// Request is what a person asked for.
type Request struct {
	Kind Kind   `json:"kind"`
	To   string `json:"to,omitempty"` // empty: the best
	By   string `json:"by"`
	Why  string `json:"why,omitempty"`
	Lose bool   `json:"lose,omitempty"` // Failover: go on though acknowledged writes are lost, or may be
}

// Holder is the member whose agent may renew routes and keep its server writable; empty when there is none.
func (s State) Holder() string {
	switch s.Phase {
	case Serving, Draining, Promoting:
		return s.Primary
	default:
		return ""
	}
}

// Renewed is the state after its holder's beat. It reports false where member holds no epoch, or another one.
func (s State) Renewed(member string, epoch uint64, reached history.Position, proxies []route.ID) (State, bool) {
	if s.Holder() != member || s.Epoch != epoch || member == "" {
		return s, false
	}
	s.Beat++
	s.Proxies = proxies
	if s.Reached.Before(reached) {
		s.Reached = reached
	}
	return s, true
}

// Route is what the state lets proxies do, for as long as its holder answers for it: For and the replicas are the holder's to fill in.
func (s State) Route(cfg Config, left time.Duration) route.Route {
	r := route.Route{Cluster: cfg.Cluster, Epoch: s.Epoch, Version: s.Step, State: route.Closed, For: left}
	if s.Request != nil && s.Request.Kind == Switchover {
		to := cfg.peer(s.Request.To)
		r.Moving, r.Target = to.Name, to.Address
	}
	switch s.Phase {
	case Serving:
		r.State = route.Serving
	case Draining:
		r.State = route.Holding
	default:
		return r
	}
	p := cfg.peer(s.Primary)
	r.Primary, r.Address, r.Holder = p.Name, p.Address, p.Agent
	return r
}
