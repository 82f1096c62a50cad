package agent

import (
	"context"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
)

// Server is what an agent can see of its member's server and do to it. Methods other than Look, Stop and Hurry are called one at a time; those
// at any time. All end with ctx, and all may be called again after any error: what is done already is not done twice.
type Server interface {
	// Look says what the server is now. All of a Sight is seen after Look was called. It returns an error where the server
	// runs and can't be asked, and then a Sight with Stalled alone; a server that does not run is a whole Sight.
	Look(ctx context.Context) (Sight, error)

	// Start starts the server as Primary or as Standby and waits until it can be asked. As a Standby it follows nobody. However else
	// it is ever started, it is a standby: as Primary it runs only by Start and Lead.
	Start(ctx context.Context, as cluster.Role) error

	// Stop stops it as in a crash and returns nil when none of its processes is left: nothing can be acknowledged any more. It
	// does so however the server hangs, as far as a kernel allows.
	Stop(ctx context.Context) error

	// Retire stops it as Stop does, and leaves it so that whoever starts it, but for Start and Follow, starts a standby of nobody.
	Retire(ctx context.Context) error

	// Detach lets a running standby follow nobody and returns when it can acknowledge nothing more to anybody.
	Detach(ctx context.Context) error

	// Follow lets a standby stream from a member, or take log from cluster.Repository, and starts it if it does not run. It does not wait for
	// the log.
	Follow(ctx context.Context, member string) error

	// Hurry has a standby that waits before it asks again whom it follows ask at once, and does nothing to any other server.
	Hurry(ctx context.Context) error

	// Lead makes a standby that streams from nobody primary on the timeline of l, and on no other. It counts l.Quorum from its first commit
	// on. It calls still right before what can't be taken back, and gives up where that says no. A server that is primary
	// already is only made ready for being led.
	Lead(ctx context.Context, l Lead, still func() bool) error

	// Flush has a primary write to its data what its log says, and its log go on in a file of which little is used, so that little has to be read when it
	// has stopped, and little sent again when another one is primary.
	Flush(ctx context.Context) error

	// Count tells a primary whom a commit waits for, and returns a position after which no commit is acknowledged by any other rule.
	Count(ctx context.Context, q cluster.Quorum) (history.Position, error)

	// Rejoin makes a server whose log parted from that of member, or that has no data or fell too far behind, a standby of it, which need not be complete
	// when it returns. It refuses where member is not primary on timeline. Before it discards log, it saves it, and calls
	// begun with the position up to which the log is not whole from then on: where that returns an error, nothing is discarded.
	Rejoin(ctx context.Context, member string, timeline uint32, begun func(whole history.Position) error) error
}

// Lead is a promotion.
type Lead struct {
	Timeline uint32
	Quorum   cluster.Quorum
	Up       func()   // called once it is primary, while what is left is done; nil: nobody
	Others   []string // all other members: what they stream from here is kept for them
}

// Sight is what a server is.
type Sight struct {
	Role      cluster.Role
	SystemID  string
	Received  history.Position // end of its log on disk
	Empty     bool             // it has no data, or an unfinished copy of some
	Following string           // Standby: the member that it is to stream from
	Streaming bool             // Standby: and does
	Parted    bool             // Standby: their logs have parted, or that one has no more what comes next
	Heard     time.Duration    // Standby: age of the last word from there; negative: none
	Stalled   time.Duration    // for how long a write to its disk has been waiting; negative: none is
	Full      bool             // its disk has hardly any room left
	Replicas  []Replica        // Primary: those that stream from it now
}

// Replica is a standby as its primary sees it.
type Replica struct {
	Name    string
	Flushed history.Position
	Lag     time.Duration // of what it has replayed
	Bytes   uint64        // not replayed yet
}
