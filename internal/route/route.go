// Package route holds what a proxy is told and what it answers: pure values between those who decide and those who carry.
//
// A proxy asks the holder of the epoch (the agent of the primary; the keeper where there is no agent) with an Ask and is
// answered with a Route. Anyone who decides may push a Route too: a push can take permission away, or name a new
// holder to ask, but never lengthens it, since its For is zero. The proxy confirms every Route that is not Serving with an Ack.
//
// What a proxy promises, and the decision to promote rests upon:
//
//  1. It passes bytes to and from the primary only while its Lease is live. It looks at both directions: an answer that
//     comes back after the end is dropped with its session, never delivered.
//  2. A Lease counts on the proxy's own clock, which counts suspended time too (CLOCK_BOOTTIME), from when the proxy
//     asked; never from when the answer came and never as a time of day.
//  3. It takes no Route that is older (Route.Newer) than one that it has seen. Closed is confirmed after every connection to the
//     upstream of a lower epoch is severed, and no Route of a lower epoch is served again.
//  4. Its ID is new with every start of the process, so that what an earlier life confirmed is never taken for this one's word.
package route

import (
	"cmp"
	"time"
)

// State says what a proxy does with sessions.
type State string

const (
	// Serving: pass everything to Primary while the lease lives.
	Serving State = "serving"
	// Holding: a planned change is coming. Begin no new transaction and let no new session reach the upstream; those that
	// are open go on to their end on Primary while the lease lives. Acked with Drained when none is left.
	Holding State = "holding"
	// Closed: there is no primary. Sever every upstream connection at once, hold new and idle sessions that can be kept
	// (bounded), end the others. Acked when no byte can pass any more.
	Closed State = "closed"
)

// Replica is a member that reads may be sent to.
type Replica struct {
	Member  string        `json:"member"`
	Address string        `json:"address"` // host:port of the server
	Lag     time.Duration `json:"lag"`     // how far behind the primary in time when last seen
	Bytes   uint64        `json:"bytes"`   // and in bytes of log not replayed
	Unknown bool          `json:"unknown"` // not heard of lately: Lag and Bytes mean nothing
}

// Route is what one cluster's proxies are to do. It is a value: nobody changes one that was sent.
type Route struct {
	Cluster string        `json:"cluster"`
	Epoch   uint64        `json:"epoch"`   // of the primary; counts up with each claim, never down
	Version uint64        `json:"version"` // revision of the cluster's state that it was made from: orders routes of one epoch
	State   State         `json:"state"`
	Primary string        `json:"primary,omitempty"` // member; empty when Closed
	Address string        `json:"address,omitempty"` // host:port of the primary's server
	Holder  string        `json:"holder,omitempty"`  // host:port of who renews this route; ask there next
	For     time.Duration `json:"for"`               // how long it may be used, from when it was asked for; zero from a push
	Moving  string        `json:"moving,omitempty"`  // member that the primary's place is moving to, for a switchover
	Target  string        `json:"target,omitempty"`  // host:port of Moving: connect and log in there ahead, send nothing that writes

	Replicas []Replica `json:"replicas,omitempty"`
}

// Compare orders routes of one cluster: by epoch, then by version.
func (r Route) Compare(s Route) int {
	if c := cmp.Compare(r.Epoch, s.Epoch); c != 0 {
		return c
	}
	return cmp.Compare(r.Version, s.Version)
}

// Newer reports whether r replaces s. A renewal of the same epoch and version is newer too: only its For differs.
func (r Route) Newer(s Route) bool { return r.Compare(s) >= 0 }

// Ask is a proxy's question for a route, or for more time on the one it has.
type Ask struct {
	Cluster string `json:"cluster"`
	Proxy   ID     `json:"proxy"`
	Epoch   uint64 `json:"epoch"` // highest seen; a holder of a lower one learns that it is one no more

	// What the proxy saw of the primary since it last asked: its traffic is evidence of life.
	Heard time.Duration `json:"heard"` // since the last byte from the primary; negative: never
	Tried time.Duration `json:"tried"` // since the oldest byte or dial that still waits for an answer; zero: nothing waits
}

// ID names one life of a proxy's process.
type ID struct {
	Name string `json:"name"` // the host's name and the listener's
	Life string `json:"life"` // random, new with each start
}

// String prints name@life.
func (i ID) String() string { return i.Name + "@" + i.Life }

// Ack confirms a Route.
type Ack struct {
	Cluster string `json:"cluster"`
	Proxy   ID     `json:"proxy"`
	Epoch   uint64 `json:"epoch"`
	Version uint64 `json:"version"`

	Closed   bool      `json:"closed"`             // no byte of a lower epoch, nor of this one while Closed, can pass any more
	ClosedAt time.Time `json:"closed_at,omitzero"` // the proxy's time of day, for people; nothing is decided by it
	Drained  bool      `json:"drained"`            // Holding: no transaction is open
	Open     int       `json:"open,omitempty"`     // Holding: transactions that still run
	Ready    string    `json:"ready,omitempty"`    // Serving, with a Target: Moving, once all sessions have logged in there that can be moved and let it
}
