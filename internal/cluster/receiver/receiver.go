// Package receiver makes what continuous protection receives count as a member of a cluster: it flushes a primary's log and acknowledges it, so
// that it may be one of those whom a commit waits for, and takes part in the ballot like a standby. It is never promoted
// (cluster.Peer.Receiver).
//
// What it promises: an epoch is on its disk before anybody hears of it; by then the stream from a primary of a lower epoch has ended, and nothing is
// acknowledged to one again. After a start it receives from nobody until a keeper says from whom: the life before may have promised an epoch
// whose primary it does not know. Without its file it judges by the state, and tells no promise before it has made one itself.
package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/atomicfile"
	"github.com/backstaydb/backstay/internal/cluster"
	"github.com/backstaydb/backstay/internal/history"
	"github.com/backstaydb/backstay/internal/lease"
	"github.com/backstaydb/backstay/internal/peer"
)

// Stream is what receives. Its methods are called one at a time, but for Look, and end with ctx.
type Stream interface {
	// Attach receives from a member's server, from the end of what is kept on, and acknowledges as the receiver's name what is durable. A stream from
	// another one has ended by then. It does not wait for the first byte, and tries again by itself when the connection is lost.
	Attach(ctx context.Context, member string) error

	// Detach ends the stream, and returns when nothing can be acknowledged any more.
	Detach(ctx context.Context) error

	// Look says what is received. It waits for nobody.
	Look() Sight
}

// Sight is what a stream is.
type Sight struct {
	SystemID string
	Received history.Position // end of the unbroken log that is durable here
	From     string           // the member that it receives from; empty: none
	Heard    time.Duration    // age of the last word from there; negative: none
	Parted   bool             // From has another log than the one that was received: a new base begins there. What is here counts no more
}

// Config of a receiver.
type Config struct {
	Member string // its name among the cluster's peers
	Dir    string // a folder of its own, durable
	Stream Stream
	Store  lease.Store
	Key    string // of the state's document
}

// Receiver is a peer.Member. New makes it.
type Receiver struct {
	c    Config
	path string

	acting sync.Mutex // one action at a time
	mu     sync.Mutex
	oath   cluster.Oath
	lost   bool // the file was not there
}

var _ peer.Member = (*Receiver)(nil)

type kept struct {
	Promised uint64 `json:"promised"`
}

// New reads what was promised, and ends whatever is received.
func New(ctx context.Context, c Config) (*Receiver, error) {
	r := &Receiver{c: c, path: filepath.Join(c.Dir, "oath.json")}
	text, err := os.ReadFile(r.path)
	var k kept
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.lost = true
	case err != nil:
		return nil, fmt.Errorf("read the oath: %w", err)
	case json.Unmarshal(text, &k) != nil:
		r.lost = true
	}
	r.oath.Promised = k.Promised
	if err := c.Stream.Detach(ctx); err != nil {
		return nil, fmt.Errorf("begin without a stream: %w", err)
	}
	return r, nil
}

// Probe implements peer.Member. The promise is read before the log: what is told of the log is no older.
func (r *Receiver) Probe(context.Context) (peer.Report, error) {
	r.mu.Lock()
	promised := r.oath.Promised
	r.mu.Unlock()
	s := r.c.Stream.Look()
	return peer.Report{
		Fact: cluster.Fact{
			Name: r.c.Member, Role: cluster.Standby, SystemID: s.SystemID, Promised: promised,
			Received: s.Received, Blank: s.Received.IsZero() || s.Parted, Following: s.From,
		},
		Ages: peer.Ages{Heard: s.Heard, Vouched: -1, Stalled: -1, Short: -1},
	}, nil
}

// Act implements peer.Member: Fence and Follow.
func (r *Receiver) Act(ctx context.Context, a cluster.Action) error {
	r.acting.Lock()
	defer r.acting.Unlock()
	floor, err := r.floor(ctx)
	switch {
	case err != nil:
		return err
	case a.Member != r.c.Member:
		return peer.Refuse(fmt.Sprintf("%s is asked to do what %s shall", r.c.Member, a.Member))
	case a.Epoch < floor:
		return peer.Refuse(fmt.Sprintf("epoch %d: %s promised %d", a.Epoch, r.c.Member, floor))
	}
	have := r.c.Stream.Look()
	switch a.Verb {
	case cluster.Fence:
		if a.Epoch > r.promised() {
			if err := r.c.Stream.Detach(ctx); err != nil {
				return err
			}
		}
		return r.promise(a.Epoch)
	case cluster.Follow:
		if have.From != a.From { // before the promise: what is acknowledged to another one is of a lower epoch
			if err := r.c.Stream.Detach(ctx); err != nil {
				return err
			}
		}
		if err := r.promise(a.Epoch); err != nil || have.From == a.From {
			return err
		}
		return r.c.Stream.Attach(ctx, a.From)
	default:
		return peer.Refuse(fmt.Sprintf("%s receives log, and can't %s", r.c.Member, a.Verb))
	}
}

func (r *Receiver) promised() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.oath.Promised
}

// floor is the epoch below which nothing is done.
func (r *Receiver) floor(ctx context.Context) (uint64, error) {
	r.mu.Lock()
	promised, lost := r.oath.Promised, r.lost
	r.mu.Unlock()
	if !lost {
		return promised, nil
	}
	e, err := r.c.Store.Get(ctx, r.c.Key)
	if err != nil {
		return 0, fmt.Errorf("read the state, since the oath is lost: %w", err)
	}
	var s cluster.State
	if e.Revision > 0 {
		if err := json.Unmarshal(e.Value, &s); err != nil {
			return 0, fmt.Errorf("read the state: %w", err)
		}
	}
	return s.Epoch, nil
}

// promise is on the disk when it returns nil.
func (r *Receiver) promise(epoch uint64) error {
	r.mu.Lock()
	oath, ok := r.oath.Promise(epoch)
	same := ok && oath.Promised == r.oath.Promised && !r.lost
	r.mu.Unlock()
	if !ok {
		return peer.Refuse(fmt.Sprintf("epoch %d: %s promised more", epoch, r.c.Member))
	}
	if same {
		return nil
	}
	text, err := json.Marshal(kept{oath.Promised})
	if err != nil {
		return err
	}
	if err := atomicfile.Write(r.path, text, 0o600); err != nil {
		return fmt.Errorf("keep the oath: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.oath, r.lost = oath, false
	return nil
}
