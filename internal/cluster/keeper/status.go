package keeper

import (
	"context"
	"fmt"
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

// Look looks at a cluster for as long as it takes to tell who is silent, and says what a keeper would do now, and why. It changes nothing: proxies
// are told what the state says already, since what they heard counts.
func Look(ctx context.Context, c Config) (Status, error) {
	c.DryRun, c.Cluster.Ahead = true, 1 // what is done ahead is not done: what follows it is of interest
	k, err := New(c)
	if err != nil {
		return Status{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	defer func() {
		stop()
		<-ended
	}()
	enough := time.After(k.c.Cluster.After + 2*serving)
	for {
		select {
		case <-ctx.Done():
			return k.Status(), context.Cause(ctx)
		case <-enough:
			s := k.Status()
			if !s.Known {
				err = fmt.Errorf("look at cluster %s: the coordination does not answer", c.Cluster.Cluster)
			}
			return s, err
		case <-time.After(changing):
			if s := k.Status(); s.Known && s.Decision.Row != "" && allAnswer(s.View) {
				return s, nil
			}
		}
	}
}

// allAnswer: and a second time, so that a decision was made with what they said first.
func allAnswer(v cluster.View) bool {
	for i := range v.Facts {
		if v.Facts[i].Answered <= v.Since {
			return false
		}
	}
	return true
}
