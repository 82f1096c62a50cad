package cluster

import (
	"time"

	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/route"
)

// Moments are readings of the observer's own monotonic clock, which counts suspended time too. No moment ever travels:
// others tell ages, and the observer subtracts them from when it asked.

// Never is the moment of what did not happen.
const Never = time.Duration(-1 << 60)

// Role is what a member's server does.
type Role string

const (
	Unknown Role = ""
	Primary Role = "primary" // takes writes, as far as it can acknowledge them
	Standby Role = "standby" // follows, or would
	Stopped Role = "stopped" // does not run, or runs and serves nobody
)

// View is what one observer knows, all of it facts: an answer, or since when there was none.
type View struct {
	Since    time.Duration // when this observer first saw the state's present epoch and phase
	Began    time.Duration // when it began to look at all: silence before that says nothing
	BeatSeen time.Duration // when it first saw the state's present beat
	Asked    time.Duration // when it first saw the state's present request
	Facts    []Fact
	Proxies  []Proxy
	Stored   history.Position // end of the unbroken, durable log that a repository has of the primary's timeline; zero: none is known of
}

// Fact is what is known of one member.
type Fact struct {
	Name      string
	Answered  time.Duration // when the question was asked that its newest answer belongs to
	Role      Role
	SystemID  string
	Epoch     uint64           // as Primary: what it was promoted under
	Promised  uint64           // kept on its disk: it carries out nothing of lower epochs, and sends no acknowledgement for their primaries
	Blank     bool             // its log is not whole: being cloned. Its promise proves nothing
	Received  history.Position // end of its log on disk
	Following string           // whom it streams from
	Heard     time.Duration    // when it last heard the primary that it streams from
	Vouched   time.Duration    // when at the latest it told a holder that it knows no newer epoch
	Stalled   time.Duration    // since when a write probe waits for the disk; Never: none does
	Full      bool             // its disk has hardly any room left
	Unguarded bool             // it counts as guarded (Peer.Guard), and no guard ran beside it
	Short     time.Duration    // as Primary: since when fewer standbys stream than should have a commit; Never: enough do
	Prepared  bool             // as Primary: it has done what Prepare asks, a moment ago
	Counting  Quorum           // as Primary: whom its server waits for
	Streams   []Stream         // as Primary: how far its standbys have flushed
	Streamed  time.Duration    `json:"-"` // when a primary last told that it streams: Note's, nobody is asked for it
	Switched  history.Position // as Primary: its position right after it began to count Counting
}

// Stream is a standby as its primary sees it.
type Stream struct {
	Name    string
	Flushed history.Position
}

// Proxy is what one life of a proxy said last.
type Proxy struct {
	ID       route.ID
	Answered time.Duration
	Heard    time.Duration // when it last heard the primary; Never: not in this epoch
	Closed   uint64        // it carries nothing of epochs below
	Epoch    uint64        // of its last word on draining
	Ready    string        // member at which its sessions have logged in ahead
	Drained  uint64        // version of a holding route for which no transaction is open any more
}

var noFact = Fact{Answered: Never, Heard: Never, Vouched: Never, Stalled: Never, Short: Never, Streamed: Never}

// Note keeps a member's newest answer, and of a primary's who streams from it.
func (v *View) Note(f Fact) {
	for i := range v.Facts {
		have := &v.Facts[i]
		if have.Name == f.Name {
			f.Streamed = have.Streamed
			*have = f
		} else if _, ok := f.flushed(have.Name); ok && f.Role == Primary {
			have.Streamed = max(have.Streamed, f.Answered)
		}
	}
}

func (v *View) fact(name string) *Fact {
	for i := range v.Facts {
		if v.Facts[i].Name == name {
			return &v.Facts[i]
		}
	}
	return &noFact
}

func (v *View) proxy(id route.ID) *Proxy {
	for i := range v.Proxies {
		if v.Proxies[i].ID == id {
			return &v.Proxies[i]
		}
	}
	return nil
}

func (f *Fact) flushed(name string) (history.Position, bool) {
	for i := range f.Streams {
		if f.Streams[i].Name == name {
			return f.Streams[i].Flushed, true
		}
	}
	return history.Position{}, false
}
