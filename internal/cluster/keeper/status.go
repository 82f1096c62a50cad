package keeper

import (
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/cluster"
)

// Status is what a keeper knew at a moment.
type Status struct {
	Now      time.Duration // the moment, on the clock of View's moments
	Leading  bool          // this host acts
	Known    bool          // the state was read
	State    cluster.State
	View     cluster.View
	Decision cluster.Decision // the newest, of a keeper that leads
}

// Status is the newest.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

func (k *Keeper) publish() {
	s := Status{k.now(), k.leading, k.known, k.state, k.view, k.decision}
	s.View.Facts, s.View.Proxies = slices.Clone(s.View.Facts), slices.Clone(s.View.Proxies)
	k.mu.Lock()
	k.status = s
	k.mu.Unlock()
}
