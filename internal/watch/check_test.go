package watch

import (
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstaydb/backstay/internal/repository"
)

// TestALargeRepositoryIsReadInParts: a round goes on after its bound and after the daemon's end, and lets bases in between.
func TestALargeRepositoryIsReadInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.unread = 3
		sources := promised(t, `base: { full: hourly }, check_every: 4h`, true)
		_, stop := w.keep(t, sources)
		time.Sleep(4*time.Hour + 20*time.Minute) // the round begins after nine tenths of four hours
		stop()
		time.Sleep(10 * time.Minute)
		_, stop = w.keep(t, sources)
		before := w.times("base full")
		time.Sleep(150 * time.Minute)
		stop()
		if len(w.rounds) != 1 || w.unread != 0 {
			t.Errorf("rounds %v, %d parts unread", w.rounds, w.unread)
		}
		if got := w.times("base full") - before; got < 2 {
			t.Errorf("%d bases in two hours and a half", got)
		}
		why := 0
		for _, e := range w.entriesOf("check") {
			if strings.Contains(e.Why, "left of the round") {
				why++
			}
		}
		if why < 2 || w.times("check local") > 2 {
			t.Errorf("%d parts were read because some was left; the small repository was read %d times", why, w.times("check local"))
		}
	})
}

// TestTheOldestObjectCounts: what was not read for long makes a check due at once, and the promise is judged by it.
func TestTheOldestObjectCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.aged = time.Now().Add(-30 * 24 * time.Hour)
		watch, stop := w.keep(t, promised(t, `check_every: 7d`, true))
		defer stop()
		measured := func() float64 {
			for _, p := range watch.Promises("app") {
				if p.Objective == "check" {
					return p.Measured / (24 * 3600)
				}
			}
			return 0
		}
		time.Sleep(5 * time.Second)
		if days := measured(); days < 29 || days > 31 {
			t.Errorf("measured %.1f days, and something was not read for 30", days)
		}
		if e := w.entriesOf("check"); len(e) != 1 || !strings.Contains(e[0].Why, "some of local was read 720h ago, bound 168h") {
			t.Fatalf("%d checks", len(e))
		}
		w.mu.Lock()
		w.aged = time.Now()
		w.mu.Unlock()
		time.Sleep(30 * time.Minute)
		if e := w.entriesOf("check"); len(e) != 1 || measured() > 1 {
			t.Errorf("%d checks, measured %.1f days after it was read", len(e), measured())
		}
	})
}

func TestWhatStandsOfDamage(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	a, b := repository.Damage{Object: "app/base/x/pack-1", Detail: "altered"}, repository.Damage{Object: "app/log/1/2", Detail: "missing"}
	as, bs := "app/base/x/pack-1: altered", "app/log/1/2: missing"
	shallow, deep := Check{Begun: at}, Check{Begun: at, Deep: true}
	c := checked{}
	for i, step := range []struct {
		check  Check
		more   bool
		found  []repository.Damage
		mended map[string]bool
		want   []string
	}{
		{shallow, true, []repository.Damage{a}, nil, []string{as}},                             // the first part
		{shallow, true, nil, nil, []string{as}},                                                // the second finds nothing, and takes nothing back
		{shallow, false, []repository.Damage{b}, nil, []string{as, bs}},                        // the last part
		{shallow, true, []repository.Damage{b}, map[string]bool{a.Object: true}, []string{bs}}, // the next round: one is mended
		{shallow, false, nil, nil, []string{bs}},                                               //
		{shallow, false, nil, nil, nil},                                                        // a round that finds nothing
		{deep, false, []repository.Damage{a}, nil, []string{as}},                               //
		{shallow, false, nil, nil, []string{as}},                                               // reads less, and takes nothing back
		{shallow, false, nil, map[string]bool{a.Object: true}, nil},                            // mended
		{deep, false, []repository.Damage{a}, nil, []string{as}},                               //
		{deep, false, nil, nil, nil},                                                           //
	} {
		c = c.read(step.check, step.more, step.found, step.mended, at)
		if !reflect.DeepEqual(append([]string{}, c.Damage...), append([]string{}, step.want...)) || c.Since.IsZero() != (len(step.want) == 0) {
			t.Errorf("step %d: %q since %v, want %q", i+1, c.Damage, c.Since, step.want)
		}
	}
}
