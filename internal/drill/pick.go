package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/engine"
	"github.com/backstaydb/backstay/internal/history"
)

// Pick says which target a drill chooses.
type Pick string

// The ways to pick.
const (
	Latest Pick = "latest"
	Random Pick = "random" // a random base, and a random moment for which that base is the nearest; one time in four the latest
	Given  Pick = "given"  // Config.Target

	Fingerprinted Pick = "fingerprint" // the newest moment of which there is a fingerprint of the source
)

// tipShare is how many random drills come to one of the tip. A moment out of weeks practically never lies in the last
// seconds, which are what most restores are asked for and the only log that no segment holds yet.
const tipShare = 4

// random picks a target: the tip, or a moment. Where fingerprints of the source lie in the stretch of the base, half of the drills
// of a moment go to one of those.
func (d *drill) random(ctx context.Context, h history.History) (history.Target, error) {
	since, until, ok := stretchOf(h, d.config.Random)
	if !ok || d.config.Random.IntN(tipShare) == 0 {
		return history.Target{Kind: history.Latest}, nil
	}
	moment := history.Target{Kind: history.AtTime, Time: since.Add(time.Duration(d.config.Random.Int64N(int64(until.Sub(since)) + 1)))}
	if d.facts.Fingerprints == nil || d.config.Random.IntN(2) == 0 {
		return moment, nil
	}
	all, err := d.fingerprints(ctx)
	if err != nil {
		return moment, err
	}
	all = slices.DeleteFunc(all, func(f engine.Fingerprint) bool { return f.Time.Before(since) || f.Time.After(until) })
	if len(all) == 0 {
		return moment, nil
	}
	target, err := d.fingerprinted(ctx, []engine.Fingerprint{all[d.config.Random.IntN(len(all))]})
	if _, none := errors.AsType[*refusedError](err); none {
		return moment, nil
	}
	return target, err
}

// fingerprints opens those of the source.
func (d *drill) fingerprints(ctx context.Context) ([]engine.Fingerprint, error) {
	if d.facts.Fingerprints == nil {
		return nil, nil
	}
	all, err := d.facts.Fingerprints(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the fingerprints of the source: %w", err)
	}
	return all, nil
}

// stretchOf picks a base and the moments for which it is the nearest. Every base has the same chance, so that an old one is proved as
// often as a new one. ok is false without any base that can be recovered to: the latest moment then is unreachable.
func stretchOf(h history.History, rnd *rand.Rand) (since, until time.Time, ok bool) {
	type stretch struct{ since, until time.Time }
	var choices []stretch
	windows := slices.DeleteFunc(h.Windows(), func(w history.Window) bool { return w.Abandoned })
	for _, b := range h.Bases {
		i := slices.IndexFunc(windows, func(w history.Window) bool {
			return !b.StopTime.Before(w.Since) && !b.StopTime.After(w.Until) && !b.Stop.Before(w.Start) && !w.End.Before(b.Stop)
		})
		if i < 0 {
			continue
		}
		until := windows[i].Until
		for _, next := range h.Bases {
			if next.StopTime.After(b.StopTime) && next.StopTime.Before(until) {
				until = next.StopTime.Add(-1)
			}
		}
		choices = append(choices, stretch{b.StopTime, until})
	}
	if len(choices) == 0 {
		return since, until, false
	}
	c := choices[rnd.IntN(len(choices))]
	return c.since, c.until, true
}
