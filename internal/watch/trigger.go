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
// what was seen is not from before its end. What is due because of what is seen takes half of the time at most: a source that
// writes faster than its bases can follow is not to be read for ever, and what a run did not change does not begin another at once.
func mayTrigger(last schedule.State, at, now time.Time) bool {
	pause := max(last.End.Sub(last.Start), leastPause)
	return !last.Running && last.Event == nil && !at.Before(last.End) && (last.End.IsZero() || now.Sub(last.End) >= pause)
}

// leastPause is between a run and the next that something seen makes due.
const leastPause = 10 * time.Minute

// worthShortening is the share of the RTO that log must take before a new base is worth its while.
const worthShortening = 0.2

// shortens reports whether a new base would bring a restore well within its time: what drills measured says so, and laying
// the base alone does not take too long already.
func shortens(f policy.Forecast, rto time.Duration) bool {
	return f.Drills > 0 && f.Lay+f.Start < rto && float64(f.Fetch+f.Replay) >= worthShortening*float64(rto)
}

// readOn has a check go on with a round that is not at its end, and begin one where something was not read for as long as is
// promised: the daemon was down, or another one wrote here before.
func (w *Watch) readOn(ctx context.Context, s *watched) {
	w.readOnWith(ctx, s, KindCheck, time.Duration(s.CheckEvery), false)
	if s.Reads {
		w.readOnWith(ctx, s, KindDeepCheck, time.Duration(s.DeepCheckEvery), true)
	}
}

func (w *Watch) readOnWith(ctx context.Context, s *watched, kind string, every time.Duration, deep bool) {
	id := schedule.ID{Source: s.Name, Kind: kind}
	now := w.c.Now()
	if every <= 0 || !mayTrigger(w.runner.State(id), now, now) {
		return
	}
	event, due := s.unread(deep, every, w.runner.State(id).End, now)
	if !due {
		return
	}
	if _, err := w.runner.Trigger(ctx, id, event); err != nil {
		w.c.Log.Warn("a check does not go on", "source", s.Name, "err", err)
	}
}

// unread says why a check is due besides its times. What was known before the last one's end says nothing.
func (s *watched) unread(deep bool, every time.Duration, ended, now time.Time) (schedule.Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.Everywhere() {
		if r := s.Checks[name].round(deep); !r.Begun.IsZero() {
			return schedule.Unfinished(name, r.Begun, now), true
		}
	}
	for _, name := range s.Everywhere() {
		known := s.histories[name].ages
		last := known.shallow
		if deep {
			last = known.deep
		}
		if known.at.Before(ended) {
			continue
		}
		if e, due := schedule.Aged(name, last, every, now); due {
			return e, true
		}
	}
	return schedule.Event{}, false
}
