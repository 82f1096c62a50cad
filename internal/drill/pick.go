package drill

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/history"
)

// Pick says which target a drill chooses.
type Pick string

// The ways to pick.
const (
	Latest Pick = "latest"
	Random Pick = "random" // a random base, and a random moment for which that base is the nearest
	Given  Pick = "given"  // Config.Target
)

// random picks a target. Every base has the same chance, so that an old one is proved as often as a new one. Without
// any base that can be recovered to it picks the latest, which then is unreachable.
func random(h history.History, rnd *rand.Rand) history.Target {
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
		return history.Target{Kind: history.Latest}
	}
	c := choices[rnd.IntN(len(choices))]
	at := c.since.Add(time.Duration(rnd.Int64N(int64(c.until.Sub(c.since)) + 1)))
	return history.Target{Kind: history.AtTime, Time: at}
}
