package cluster

import (
	"fmt"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/route"
)

// Verb of an action.
type Verb string

const (
	Prepare Verb = "prepare" // the primary writes to its data what its log says, so that it is soon known how far that goes, and it is soon back
	Fence   Verb = "fence"   // a primary of a lower epoch stops, a standby detaches; it promises the epoch, on disk, and tells its position
	Close   Verb = "close"   // a proxy is told the route of the state, which is not serving
	Promote Verb = "promote" // become primary, once the epoch's tenure is held, counting Quorum
	Fill    Verb = "fill"    // a candidate fetches log up to a position from From before it is promoted
	Follow  Verb = "follow"  // stream from the primary, after a rewind or a clone where histories part
	Count   Verb = "count"   // the primary's server is told whom to wait for
)

// Repository is From in a Fill: the log lies in the source's repositories, beside all members.
const Repository = "(repository)"

// Action is one idempotent step. Whoever carries it out refuses an epoch below what it promised.
type Action struct {
	Verb     Verb
	Epoch    uint64
	Member   string           // who acts
	From     string           // Fill: whose log, or Repository; Follow: which primary
	Upto     history.Position // Fill: so far; Promote: refuse with less
	Timeline uint32
	Quorum   Quorum
	Proxy    route.ID
}

// String prints the action for people and for the audit log.
func (a Action) String() string {
	switch a.Verb {
	case Close:
		return fmt.Sprintf("%s proxy %s (epoch %d)", a.Verb, a.Proxy, a.Epoch)
	case Fill:
		return fmt.Sprintf("fill %s from %s up to %s (epoch %d)", a.Member, a.From, a.Upto.Plain(), a.Epoch)
	case Follow:
		return fmt.Sprintf("%s follows %s (epoch %d)", a.Member, a.From, a.Epoch)
	case Promote:
		return fmt.Sprintf("promote %s to timeline %d (epoch %d)", a.Member, a.Timeline, a.Epoch)
	case Count:
		return fmt.Sprintf("%s waits for %d of %v (epoch %d)", a.Member, a.Quorum.K, a.Quorum.Names, a.Epoch)
	default:
		return fmt.Sprintf("%s %s (epoch %d)", a.Verb, a.Member, a.Epoch)
	}
}
