package etcd

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/backstaydb/backstay/internal/lease"
)

// The hint of who should act, where no voter of ours is there to say: a document that names a host and is counted up by it. It is a hint
// only, so it rests on this process's plain clock.
const (
	hintKey   = "leader"
	hintEvery = 300 * time.Millisecond  // how often it is looked at, and counted up
	hintAfter = time.Second             // when a count that stands still is another's to take
	hintAway  = 1500 * time.Millisecond // for how long a host that should not lead leaves it to others
	hintLeave = 10 * time.Minute        // how often it does so at most: perhaps there are no others
)

type hinted struct {
	Host   string `json:"host"` // empty: whoever comes first
	Count  uint64 `json:"count"`
	Voters bool   `json:"voters,omitempty"` // hosts with voters among them: who leads raft acts, and hosts without a voter never do
}

type hint struct {
	store *Store
	host  string

	mu     sync.Mutex
	looked time.Time
	moved  time.Time // when the count was last seen to change
	now    hinted
	mine   bool
	left   time.Time // when it was last left to others
}

func newHint(s *Store, host string) *hint { return &hint{store: s, host: host} }

// leads answers from what is known, and looks again when that is old.
func (h *hint) leads(ctx context.Context) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.host == "" || time.Since(h.looked) < hintEvery {
		return h.mine, ctx.Err()
	}
	h.looked = time.Now()
	e, err := h.store.Get(ctx, hintKey)
	if err != nil {
		h.mine = false
		return false, err
	}
	var have hinted
	if err := json.Unmarshal(e.Value, &have); err != nil && e.Revision > 0 {
		have = hinted{} // nobody's: it is written anew
	}
	if have != h.now || h.moved.IsZero() {
		h.now, h.moved = have, time.Now()
	}
	if have.Voters {
		h.mine = false
		return false, nil
	}
	h.mine = have.Host == h.host
	if h.mine || time.Since(h.left) >= hintAway && (have.Host == "" || time.Since(h.moved) >= hintAfter) {
		h.mine = h.write(ctx, e, hinted{Host: h.host, Count: have.Count + 1})
	}
	return h.mine, nil
}

func (h *hint) write(ctx context.Context, from lease.Entry, next hinted) bool {
	value, err := json.Marshal(next)
	if err != nil {
		return false
	}
	if _, err := h.store.Swap(ctx, hintKey, from.Revision, value); err != nil {
		return false
	}
	h.now, h.moved = next, time.Now()
	return true
}

// reserve says that voters lead, for hosts that have none and would follow the document else. It is written once.
func (h *hint) reserve(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now.Voters || time.Since(h.looked) < hintEvery {
		return
	}
	h.looked = time.Now()
	e, err := h.store.Get(ctx, hintKey)
	if err != nil {
		return
	}
	var have hinted
	if json.Unmarshal(e.Value, &have) == nil && have.Voters {
		h.now = have
		return
	}
	h.write(ctx, e, hinted{Voters: true})
}

// leave gives the place away, for whoever takes it first.
func (h *hint) leave(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.mine || time.Since(h.left) < hintLeave {
		return nil
	}
	e, err := h.store.Get(ctx, hintKey)
	if err != nil {
		return err
	}
	h.write(ctx, e, hinted{Count: h.now.Count + 1})
	h.mine, h.left = false, time.Now()
	return nil
}
