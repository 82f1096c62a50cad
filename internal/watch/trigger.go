package watch

import (
	"context"
	"slices"
	"time"

	"github.com/backstaydb/backstay/internal/policy"
	"github.com/backstaydb/backstay/internal/schedule"
)

// trigger has a base taken, besides its times, where the log behind the newest one has grown beyond what the file allows, or
// where a restore is forecast to come near what was promised because of it.
func (w *Watch) trigger(ctx context.Context, s *watched) {
	id := schedule.ID{Source: s.Name, Kind: KindBase + "/" + fullBase}
	if !slices.Contains(s.bases(), fullBase) {
		return
	}
	now := w.c.Now()
	s.mu.Lock()
	newest := s.newest()
	forecast := policy.NewForecast(s.Drills, newest.restore())
	s.mu.Unlock()
	if newest.base.ID == "" || !mayTrigger(w.runner.State(id), newest.at, now) {
		return
	}
	event, due := schedule.LogGrown(newest.logBytes, int64(s.BaseAfter), now)
	if rto := time.Duration(s.RTO); !due && shortens(forecast, rto) {
		event, due = schedule.ReplayNear(forecast.Expected, rto, now)
	}
	if !due {
		return
	}
	if _, err := w.runner.Trigger(ctx, id, event); err != nil {
		w.c.Log.Warn("a new base is not taken", "source", s.Name, "err", err)
	}
}

// mayTrigger reports whether what was seen at a time may make a job due again: it is neither due for that already nor running, and
// what was seen is not from before its end. What log asks for takes half of the time at most: a source that
// writes faster than its bases can follow is not to be read for ever.
func mayTrigger(last schedule.State, at, now time.Time) bool {
	took := last.End.Sub(last.Start)
	return !last.Running && last.Event == nil && !at.Before(last.End) && now.Sub(last.End) >= took
}

// worthShortening is the share of the RTO that log must take before a new base is worth its while.
const worthShortening = 0.2

// shortens reports whether a new base would bring a restore well within its time: what drills measured says so, and laying
// the base alone does not take too long already.
func shortens(f policy.Forecast, rto time.Duration) bool {
	return f.Drills > 0 && f.Lay+f.Start < rto && float64(f.Fetch+f.Replay) >= worthShortening*float64(rto)
}
